/* A picture file of the reader's, as the stage takes it; what is wrong with it in one sentence.
 *
 *     await readPicture(file)        an ImageBitmap, upright; throws an Error with a sentence
 *
 * Its size is read from its head, before anything is decoded, so that a huge one costs neither time nor memory. */
"use strict";

const PICTURE = {
  bytes: 50e6, // of a file
  pixels: 64e6, // in all
  least: 8, // a side, as on the command line
};

/* Width and height; the browser calls an image loaded once it knows them, and decodes it where it is drawn. */
function pictureSize(file) {
  const address = URL.createObjectURL(file), image = new Image();
  const told = new Promise((done, refuse) => {
    image.onload = () => done([image.naturalWidth, image.naturalHeight]);
    image.onerror = refuse;
  });
  image.src = address;
  return told.finally(() => URL.revokeObjectURL(address));
}

async function readPicture(file) {
  const { name } = file;
  if (file.size > PICTURE.bytes) {
    const given = (file.size / 1e6).toFixed(0);
    throw new Error(`${name} has ${given} MB; give a picture of at most ${PICTURE.bytes / 1e6} MB.`);
  }
  const [width, height] = await pictureSize(file).catch(() => {
    throw new Error(`${name} is no picture that this browser reads; give a PNG, JPEG or WebP file.`);
  });
  if (width * height > PICTURE.pixels) {
    throw new Error(`${name} is ${width} x ${height} pixels; scale it under ${PICTURE.pixels / 1e6} megapixels first.`);
  }
  if (Math.min(width, height) < PICTURE.least) {
    const least = `${PICTURE.least} x ${PICTURE.least}`;
    throw new Error(`${name} is ${width} x ${height} pixels; give a picture of ${least} at least.`);
  }
  return createImageBitmap(file).catch(() => {
    throw new Error(`${name} cannot be read to its end; it may be damaged or cut off: copy it again.`);
  });
}
