/* Captions pictures in Node; uvlm_mini/deploy/wasm.py is the caller.
 *
 *     node run.js '{"wasm": PATH, "blob": PATH, "pictures": PATH, "height": 64, "width": 64, "beam": 3, "trace": false}'
 *
 * The file of pictures holds one behind the other, (height, width, 3) bytes each. A line of JSON a picture: the beam's
 * captions, milliseconds of encoder and search, and, if asked for, the trace that the firmware prints (main/caption.c of
 * ports/m55). What is refused: one sentence on stderr, and code 1. */
"use strict";

const fs = require("fs");
const { Captioner } = require("./captioner.js");

const BOS = 1, EOS = 2;

const hex = (number) => number.toString(16).padStart(8, "0");

function trace(captioner) {
  const lines = [];
  for (let i = 0; i < captioner.contexts; i++) {
    lines.push(`context ${i} ${hex(captioner.checksum(captioner.context(i)))}`);
  }
  captioner.start();
  for (let t = 0, word = BOS; t <= captioner.longest && word !== EOS; t++) {
    const logits = captioner.step(word);
    const sums = [captioner.checksum(logits), captioner.checksum(captioner.bias())].map(hex);
    lines.push(`step ${t} after ${word} logits ${sums[0]} bias ${sums[1]}`);
    word = captioner.likeliest(logits);
  }
  return lines;
}

function one(captioner, pixels, traced) {
  const start = performance.now();
  captioner.encode(pixels);
  const middle = performance.now();
  const found = captioner.search();
  const end = performance.now();
  return { found, encode: middle - start, search: end - middle, trace: traced ? trace(captioner) : [] };
}

async function main(given) {
  const captioner = await Captioner.load(fs.readFileSync(given.wasm), fs.readFileSync(given.blob), given.beam);
  if (given.height !== captioner.side || given.width !== captioner.side) {
    const asked = `(${captioner.side}, ${captioner.side}, 3)`;
    throw new Error(
      `This captioner looks at pictures ${asked} of bytes, not (${given.height}, ${given.width}, 3); ` +
        "make them with `read_picture`.");
  }
  const pictures = fs.readFileSync(given.pictures), size = 3 * captioner.side * captioner.side;
  for (let at = 0; at < pictures.length; at += size) {
    console.log(JSON.stringify(one(captioner, pictures.subarray(at, at + size), given.trace)));
  }
}

main(JSON.parse(process.argv[2])).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
