/* The captioner in a page, or in Node: captioner.c as WebAssembly, with a blob.
 *
 *     <script src="captioner.js"></script>                  const { Captioner } = require("./captioner.js");
 *
 *     const captioner = await Captioner.load(wasm, blob);   bytes each; wasm may be a WebAssembly.Module
 *     captioner.caption(pixels).text                        (side, side, 3) bytes of sRGB
 *
 * `uvlm deploy wasm` writes the one, `uvlm deploy blob` the other; WebAssembly.validate(wasm) is false where the vectors
 * of a build are not there, and then one with --plain runs. What is refused throws an Error with one sentence. */
"use strict";

(function (root) {
  const EOS = 2, FIRST_WORD = 4, LONGEST = 126; // of the vocabulary, and of uvlm.h
  const NULL = 1;

  const STATUS = {
    1: "something is missing",
    2: "a size does not fit",
    3: "a number is out of range (a beam keeps 1 to 8 beginnings, a word is one of the vocabulary)",
    5: "it is no blob of this version, or is cut off or damaged; write it again with `uvlm deploy blob`",
    6: "its parts contradict each other; write it again with `uvlm deploy blob`",
    7: "it asks for more memory than there is; give a smaller blob",
  };

  function check(status) {
    if (status) throw new Error(`The captioner refused the blob or what was asked: ${STATUS[status] || status}.`);
  }

  class Captioner {
    /* From a compiled module, at once; see `load`.
     *
     * beam: beginnings that a search keeps, 1 to 8; 1 is greedy search. */
    constructor(module, blob, beam = 3) {
      if (blob instanceof ArrayBuffer) blob = new Uint8Array(blob); // as fetch gives it
      const c = (this.exports = new WebAssembly.Instance(module, {}).exports);
      const at = c.allocate(Math.max(blob.length, 1));
      check(at ? 0 : 7);
      new Uint8Array(c.memory.buffer, at, blob.length).set(blob);
      check(c.open(at, blob.length, beam));
      const names = ["side", "words", "longest", "map", "mapZero", "beam", "contexts", "form"];
      names.forEach((name, i) => (this[name] = c.number(i)));
    }

    static async load(wasm, blob, beam = 3) {
      const module = wasm instanceof WebAssembly.Module ? wasm : await WebAssembly.compile(wasm);
      return new Captioner(module, blob, beam);
    }

    /* Bytes of memory that the instance holds, blob and stack included. */
    get memory() {
      return this.exports.memory.buffer.byteLength;
    }

    /* Look at a picture. */
    encode(pixels) {
      const bytes = 3 * this.side * this.side;
      if (pixels.length !== bytes) {
        throw new Error(
          `This captioner looks at pictures of ${this.side} x ${this.side} x 3 = ${bytes} bytes, not ${pixels.length}; ` +
            "scale the picture, and leave out the alpha channel.");
      }
      new Uint8Array(this.exports.memory.buffer, this.exports.picture(), bytes).set(pixels);
      check(this.exports.encode());
    }

    /* What `encode` gave to the decoder: value i. This and what follows are views of the captioner's memory, good until
     * it is asked for something else. */
    context(i) {
      const at = this.exports.context(i);
      check(at ? 0 : NULL);
      return new Int8Array(this.exports.memory.buffer, at, this.exports.context_bytes(i));
    }

    /* What the first records of the encoder make of the picture that was encoded, int8, channels last. The last of them
     * adds two values; uvlm_mini/deploy/familiar.py tells which, and what for. */
    early(records, bytes) {
      const at = this.exports.early(records);
      check(at ? 0 : NULL);
      return new Int8Array(this.exports.memory.buffer, at, bytes);
    }

    /* Back to before the first word. */
    start() {
      check(this.exports.start());
    }

    /* One step after a word, by number, the first after BOS = 1: a logit for each word, int32. */
    step(word) {
      check(this.exports.step(word));
      return new Int32Array(this.exports.memory.buffer, this.exports.logits(), this.words);
    }

    /* The bias map of the last step, int8; `mapZero` stands for no bias. */
    bias() {
      return new Int8Array(this.exports.memory.buffer, this.exports.bias(), this.map);
    }

    /* The beam's captions of the picture that was encoded, best first. Each: text, words (numbers), score (logarithm to
     * base 2 of its probability, in 2^-16) and whether it ended by itself. */
    search() {
      check(this.exports.search());
      const found = [];
      for (let i = 0, at; i < this.beam && (at = this.exports.caption(i)); i++) {
        const told = new Int32Array(this.exports.memory.buffer, at, LONGEST + 3);
        const [count, score, ended] = told.slice(LONGEST);
        const words = Array.from(told.slice(0, count));
        found.push({ text: this.textOf(words), words, score, ended: ended === 1 });
      }
      return found;
    }

    /* The best caption of a picture. */
    caption(pixels) {
      this.encode(pixels);
      return this.search()[0];
    }

    /* The text of a word; "" of a number that is none. */
    word(number) {
      const bytes = new Uint8Array(this.exports.memory.buffer, this.exports.text(number));
      return new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0)));
    }

    textOf(words) {
      return words.filter((word) => word >= FIRST_WORD).map((word) => this.word(word)).join(" ");
    }

    /* The word of the largest logit, the first of them. */
    likeliest(logits) {
      let best = EOS;
      for (let i = EOS; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
      return best;
    }

    /* CRC-32 of a view of the captioner's memory. */
    checksum(view) {
      return this.exports.checksum(view.byteOffset, view.byteLength) >>> 0;
    }
  }

  if (typeof module === "object" && module.exports) module.exports = { Captioner };
  else root.Captioner = Captioner;
})(globalThis);
