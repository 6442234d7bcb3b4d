/* The stage of the live page: a scene that can be changed by mouse, finger and keyboard, and its two pictures.
 *
 *     const stage = new Stage(canvas, drawing, () => ...);     the function is called after every change
 *     stage.scene                                              { background, variant, things }
 *     stage.pixels(64)                                         (64, 64, 3) bytes: what the model sees
 *     stage.show(picture, name)                                an ImageBitmap in place of the scene; null: the scene */
"use strict";

class Stage {
  static SIDE = 64; // units of a side
  static SHARP = 256; // pixels of the picture for people
  static BOXES = { small: 16, large: 25 };
  static MOST = 5; // things; the model was trained with one to three

  constructor(canvas, drawing, changed) {
    Object.assign(this, { canvas, drawing, changed, picture: null, name: "", chosen: -1, seed: 1 });
    canvas.width = canvas.height = Stage.SHARP;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.scene = { background: "meadow", variant: 0, things: [] };
    this.listen();
  }

  /* A number from 0 to n - 1, the same row of numbers in every visit. */
  draw(n) {
    this.seed = (Math.imul(this.seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.seed / 2 ** 32) * n);
  }

  get thing() {
    return this.scene.things[this.chosen];
  }

  /* One to three things that do not touch, on one of the backgrounds. */
  compose() {
    const pick = (list) => list[this.draw(list.length)];
    const { kinds, colors, backgrounds, sided } = this.drawing.data;
    const name = pick(Object.keys(backgrounds));
    this.scene = { background: name, variant: this.draw(backgrounds[name].variants.length), things: [] };
    for (let count = 1 + this.draw(3); count > 0; count--) {
      const kind = pick(Object.keys(kinds)), size = pick(["small", "large"]);
      this.place({ kind, color: pick(Object.keys(colors)), size, flip: sided.includes(kind) && this.draw(2) === 1 });
    }
    this.chosen = 0;
    this.hide();
    this.render();
  }

  /* Put a thing where there is room, if there is any; whether there was. */
  place(thing) {
    const box = Stage.BOXES[thing.size], room = Stage.SIDE - box;
    for (let attempt = 0; attempt < 200; attempt++) {
      const x = this.draw(room + 1), y = this.draw(room + 1);
      const free = this.scene.things.every(
        (t) => x + box + 2 <= t.x || t.x + t.box + 2 <= x || y + box + 2 <= t.y || t.y + t.box + 2 <= y);
      if (!free) continue;
      this.scene.things.push({ ...thing, x, y, box });
      this.chosen = this.scene.things.length - 1;
      return true;
    }
    return false;
  }

  add(kind, color, size) {
    if (this.scene.things.length >= Stage.MOST || !this.place({ kind, color, size, flip: false })) return false;
    this.hide();
    this.render();
    return true;
  }

  /* Change the chosen thing: { color } or { size }. */
  change(what) {
    if (!this.thing) return;
    Object.assign(this.thing, what, what.size ? { box: Stage.BOXES[what.size] } : {});
    this.move(0, 0);
  }

  /* Move the chosen thing by units, and keep it inside. */
  move(dx, dy) {
    if (!this.thing) return;
    const most = Stage.SIDE - this.thing.box, inside = (v) => Math.min(Math.max(Math.round(v), 0), most);
    Object.assign(this.thing, { x: inside(this.thing.x + dx), y: inside(this.thing.y + dy) });
    this.render();
  }

  remove() {
    if (!this.thing) return;
    this.scene.things.splice(this.chosen, 1);
    this.chosen = Math.min(this.chosen, this.scene.things.length - 1);
    this.render();
  }

  clear() {
    this.scene.things = [];
    this.chosen = -1;
    this.hide();
    this.render();
  }

  show(picture, name = "") {
    this.hide();
    Object.assign(this, { picture, name });
    this.render();
  }

  /* Back to the scene. A large picture holds much memory, which goes at once. */
  hide() {
    this.picture?.close();
    Object.assign(this, { picture: null, name: "" });
  }

  /* The picture's bytes without alpha. Of somebody's picture the middle square is taken. */
  pixels(side) {
    if (!this.picture) return this.drawing.scene(this.scene, side);
    const small = document.createElement("canvas");
    small.width = small.height = side;
    const context = small.getContext("2d");
    this.fit(context, side);
    return context.getImageData(0, 0, side, side).data.filter((_, i) => i % 4 !== 3);
  }

  fit(context, side) {
    const { width, height } = this.picture, square = Math.min(width, height);
    context.fillStyle = "#fff"; // under what is transparent
    context.fillRect(0, 0, side, side);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.picture, (width - square) / 2, (height - square) / 2, square, square, 0, 0, side, side);
  }

  render() {
    const side = Stage.SHARP;
    if (this.picture) this.fit(this.context, side);
    else {
      const image = this.context.createImageData(side, side), rgb = this.drawing.scene(this.scene, side);
      for (let p = 0; p < side * side; p++) image.data.set([rgb[3 * p], rgb[3 * p + 1], rgb[3 * p + 2], 255], 4 * p);
      this.context.putImageData(image, 0, 0);
      this.frame();
    }
    this.changed();
  }

  /* The dashes around the chosen thing. They are no part of what the model sees. */
  frame() {
    if (!this.thing) return;
    const scale = Stage.SHARP / Stage.SIDE, { x, y, box } = this.thing;
    for (const [color, offset] of [["#fff", 0], ["#000", 4]]) {
      this.context.strokeStyle = color;
      this.context.setLineDash([4, 4]);
      this.context.lineDashOffset = offset;
      this.context.strokeRect(x * scale + 0.5, y * scale + 0.5, box * scale - 1, box * scale - 1);
    }
  }

  listen() {
    let grip = null;
    const at = (event) => {
      const frame = this.canvas.getBoundingClientRect();
      return [((event.clientX - frame.left) / frame.width) * Stage.SIDE, ((event.clientY - frame.top) / frame.height) * Stage.SIDE];
    };
    this.canvas.addEventListener("pointerdown", (event) => {
      if (this.picture) return;
      const [x, y] = at(event);
      const hit = this.scene.things.findLastIndex((t) => t.x <= x && x < t.x + t.box && t.y <= y && y < t.y + t.box);
      if (hit < 0) return;
      this.chosen = hit;
      grip = [x - this.thing.x, y - this.thing.y];
      this.canvas.setPointerCapture(event.pointerId);
      this.render();
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (!grip || !this.thing) return;
      const [x, y] = at(event);
      this.move(x - grip[0] - this.thing.x, y - grip[1] - this.thing.y);
    });
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, () => (grip = null));
    this.canvas.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 8 : 2;
      const ways = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
      if (ways[event.key]) this.move(...ways[event.key]);
      else if (event.key === "Delete" || event.key === "Backspace") this.remove();
      else if (event.key === " " && this.scene.things.length) {
        this.chosen = (this.chosen + 1) % this.scene.things.length;
        this.render();
      } else return;
      event.preventDefault();
    });
  }
}
