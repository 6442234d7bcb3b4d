/* In a worker, behind captioner.js in one text: opens the captioner once, then captions what it is sent.
 *
 *     { wasm, blob, beam }   -> { opened: { side, words, form } }
 *     { id, pixels }         -> { id, found, words, maps, ms }   found: the beam's captions; words and maps: of the best
 *     whatever goes wrong    -> { id, error }                    one sentence */
"use strict";

let captioner = null;

/* The words of a caption, and the bias map that was before the decoder's eyes at each. */
function looks(best) {
  const words = best.words.map((number) => captioner.word(number));
  captioner.start();
  const maps = [];
  for (const before of [1, ...best.words.slice(0, -1)]) {
    captioner.step(before);
    maps.push(Array.from(captioner.bias(), (value) => value - captioner.mapZero));
  }
  return { words, maps: maps.slice(0, words.length) };
}

self.onmessage = ({ data }) => {
  try {
    if (data.wasm) {
      captioner = new Captioner(new WebAssembly.Module(data.wasm), data.blob, data.beam);
      self.postMessage({ opened: { side: captioner.side, words: captioner.words, form: captioner.form } });
      return;
    }
    const start = performance.now();
    captioner.encode(data.pixels);
    const found = captioner.search();
    self.postMessage({ id: data.id, found, ...looks(found[0]), ms: performance.now() - start });
  } catch (error) {
    self.postMessage({ id: data.id, error: error.message });
  }
};
