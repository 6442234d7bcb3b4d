/* In a worker, behind captioner.js and familiarity.js in one text: opens the captioner once, then captions what it is sent.
 *
 *     { wasm, blob, beam, familiarity } -> { opened: { side, words, form } }, or { refused }: one sentence
 *     { id, pixels }                    -> { id, found, words, maps, ms, strange }   found: the beam's captions; words and
 *                                          maps: of the best; strange: above 1, the picture is unlike any scene
 *     whatever goes wrong then          -> { id, error }   one sentence */
"use strict";

let captioner = null, familiarity = null;

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

function open(given) {
  try {
    captioner = new Captioner(new WebAssembly.Module(given.wasm), given.blob, given.beam);
    familiarity = new Familiarity(given.familiarity);
    self.postMessage({ opened: { side: captioner.side, words: captioner.words, form: captioner.form } });
  } catch (error) {
    self.postMessage({ refused: error.message });
  }
}

self.onmessage = ({ data }) => {
  if (data.wasm) {
    open(data);
    return;
  }
  try {
    const start = performance.now();
    captioner.encode(data.pixels);
    const found = captioner.search(), said = looks(found[0]), ms = performance.now() - start;
    self.postMessage({ id: data.id, found, ...said, ms, strange: familiarity.strangeness(captioner) });
  } catch (error) {
    self.postMessage({ id: data.id, error: error.message });
  }
};
