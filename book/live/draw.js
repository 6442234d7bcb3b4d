/* The scenes' drawings in a page: uvlm_mini/datasets/drawing.py line by line, to the same bytes.
 *
 *     const drawing = new Drawing(data);         what scripts/build_live.py writes of KINDS, COLORS and the backgrounds
 *     drawing.scene({ background: "sea", variant: 0, things: [{ kind, color, x, y, box, flip }] }, 64)
 *                                                (64, 64, 3) bytes: what the model sees; 128, 192, 256 for people
 *
 * Coverage is decided with the four operations of IEEE arithmetic, in Python's order; colours are mixed with integers. */
"use strict";

(function (root) {
  const SAMPLES = 4, OUTLINE = 4, SIDE = 64;

  const near = (x, y, x1, y1, x2, y2, d) => {
    const ux = x2 - x1, uy = y2 - y1;
    let t = ((x - x1) * ux + (y - y1) * uy) / Math.max(ux * ux + uy * uy, 1e-9);
    t = Math.min(Math.max(t, 0), 1);
    const px = x - x1 - t * ux, py = y - y1 - t * uy;
    return px * px + py * py <= d * d;
  };

  /* Whether a shape, grown by m, covers the point (x, y). Its first entry tells the kind. */
  const COVERS = {
    ellipse([, cx, cy, rx, ry], x, y, m) {
      const u = (x - cx) / (rx + m), v = (y - cy) / (ry + m);
      return u * u + v * v <= 1;
    },
    line([, x1, y1, x2, y2, w], x, y, m) {
      return near(x, y, x1, y1, x2, y2, w + m);
    },
    polygon([, ...xy], x, y, m) {
      let inside = false, close = false;
      for (let i = 0; i < xy.length; i += 2) {
        const x1 = xy[i], y1 = xy[i + 1], x2 = xy[(i + 2) % xy.length], y2 = xy[(i + 3) % xy.length];
        if (y1 !== y2 && (y1 <= y) !== (y2 <= y) && x < x1 + (y - y1) * ((x2 - x1) / (y2 - y1))) inside = !inside;
        close = close || (m > 0 && near(x, y, x1, y1, x2, y2, m));
      }
      return inside || close;
    },
  };

  /* A box outside of which a shape, grown by m, covers nothing: left, top, right, bottom, in units. A little wide, since
   * `covers` rounds. */
  function boxOf(shape, m) {
    const [kind, a, b, c, d, w] = shape;
    m += 0.01;
    if (kind === "ellipse") return [a - c - m, b - d - m, a + c + m, b + d + m];
    const grown = kind === "line" ? w + m : m;
    const xy = kind === "line" ? [a, b, c, d] : shape.slice(1);
    const xs = xy.filter((_, i) => i % 2 === 0), ys = xy.filter((_, i) => i % 2 === 1);
    return [Math.min(...xs) - grown, Math.min(...ys) - grown, Math.max(...xs) + grown, Math.max(...ys) + grown];
  }

  /* Marks in `mask` (side * side samples) what a shape covers. `xs` and `ys` are the samples' places. */
  function mark(mask, shape, xs, ys, m, value = 1) {
    const side = xs.length, covers = COVERS[shape[0]], [left, top, right, bottom] = boxOf(shape, m);
    const across = [...xs.keys()].filter((i) => left <= xs[i] && xs[i] <= right);
    for (let j = 0; j < side; j++) {
      if (ys[j] < top || ys[j] > bottom) continue;
      for (const i of across) if (covers(shape, xs[i], ys[j], m)) mask[j * side + i] = value;
    }
  }

  /* How many of a pixel's 16 samples are marked, for every pixel. */
  function counted(mask, pixels) {
    const cover = new Int32Array(pixels * pixels), side = pixels * SAMPLES;
    for (let j = 0; j < side; j++) {
      const row = Math.floor(j / SAMPLES) * pixels;
      for (let i = 0; i < side; i++) cover[row + Math.floor(i / SAMPLES)] += mask[j * side + i];
    }
    return cover;
  }

  /* Calls use(pixel, cover) for every pixel that a shape touches, with how many of its 16 samples are covered. */
  function touched(shape, points, pixels, use) {
    const covers = COVERS[shape[0]], [left, top, right, bottom] = boxOf(shape, 0);
    const spans = (from, to) => {
      const reached = [];
      for (let i = 0; i < pixels; i++) if (points[i * SAMPLES + SAMPLES - 1] >= from && points[i * SAMPLES] <= to) reached.push(i);
      return reached;
    };
    const across = spans(left, right);
    for (const j of spans(top, bottom)) {
      for (const i of across) {
        let cover = 0;
        for (let y = j * SAMPLES; y < (j + 1) * SAMPLES; y++) {
          for (let x = i * SAMPLES; x < (i + 1) * SAMPLES; x++) if (covers(shape, points[x], points[y], 0)) cover++;
        }
        if (cover) use(j * pixels + i, cover);
      }
    }
  }

  class Drawing {
    constructor(data) {
      this.data = data; // units, roles, fixed, colors, kinds, backgrounds
      this.kept = new Map();
    }

    points(pixels) {
      const count = pixels * SAMPLES, units = this.data.units;
      return Array.from({ length: count }, (_, i) => ((2 * i + 1) * units) / (2 * count));
    }

    once(key, make) {
      if (!this.kept.has(key)) this.kept.set(key, make());
      return this.kept.get(key);
    }

    /* A kind as weights of the roles and, last, of what is behind: one Int32Array of pixels * pixels each. */
    sprite(kind, pixels, flip) {
      return this.once(`${kind} ${pixels} ${flip}`, () => {
        const { roles, kinds, units } = this.data, ys = this.points(pixels), samples = ys.length ** 2;
        const xs = flip ? ys.map((y) => units - y) : ys;
        const layerMask = (layer, m) => {
          const mask = new Uint8Array(samples);
          for (const shape of layer.shapes) mark(mask, shape, xs, ys, m);
          for (const shape of layer.cut) mark(mask, shape, xs, ys, shape[0] === "ellipse" ? -m : 0, 0);
          return mask;
        };
        const contour = new Uint8Array(samples);
        for (const layer of kinds[kind]) layerMask(layer, OUTLINE).forEach((hit, i) => (contour[i] |= hit));
        const weights = Array.from({ length: roles.length + 1 }, () => new Int32Array(pixels * pixels));
        weights[roles.length].fill(256);
        const paintRole = (role, mask) => {
          const cover = counted(mask, pixels);
          for (let p = 0; p < cover.length; p++) {
            let sum = 0;
            for (const plane of weights) sum += plane[p] = Math.floor((plane[p] * (16 - cover[p])) / 16);
            weights[roles.indexOf(role)][p] += 256 - sum;
          }
        };
        paintRole("ink", contour);
        for (const layer of kinds[kind]) paintRole(layer.role, layerMask(layer, 0));
        return weights;
      });
    }

    background(name, variant, pixels) {
      return this.once(`${name} ${variant} ${pixels}`, () => {
        const { units, backgrounds } = this.data, { colors, variants } = backgrounds[name];
        const { h, shapes } = variants[variant], points = this.points(pixels);
        const [far, close, front, under] = colors;
        const canvas = new Int32Array(pixels * pixels * 3);
        for (let j = 0; j < pixels; j++) {
          const row = Math.floor((j * units) / pixels);
          for (let c = 0; c < 3; c++) {
            const value = row < h
              ? Math.floor((far[c] * (h - row) + close[c] * row) / h)
              : Math.floor((front[c] * (units - row) + under[c] * (row - h)) / (units - h));
            for (let i = 0; i < pixels; i++) canvas[(j * pixels + i) * 3 + c] = value;
          }
        }
        for (const { rgb, shape } of shapes) {
          touched(shape, points, pixels, (p, cover) => {
            for (let c = 0; c < 3; c++) {
              canvas[3 * p + c] = Math.floor((canvas[3 * p + c] * (16 - cover) + rgb[c] * cover + 8) / 16);
            }
          });
        }
        return Uint8Array.from(canvas);
      });
    }

    /* Paint a thing of the colour rgb into a canvas of `side` pixels, the corner of its box at (x, y). */
    paint(canvas, side, kind, rgb, x, y, pixels, flip) {
      const weights = this.sprite(kind, pixels, Boolean(flip)), { roles, fixed } = this.data;
      const shade = rgb.map((c) => Math.floor((c * 11) / 16)), light = rgb.map((c) => Math.floor((c + 255) / 2));
      const palette = [rgb, shade, light, ...fixed];
      for (let j = 0; j < pixels; j++) {
        for (let i = 0; i < pixels; i++) {
          const p = j * pixels + i, to = ((y + j) * side + x + i) * 3;
          for (let c = 0; c < 3; c++) {
            let mixed = weights[roles.length][p] * canvas[to + c];
            for (let k = 0; k < roles.length; k++) mixed += weights[k][p] * palette[k][c];
            canvas[to + c] = (mixed + 128) >> 8;
          }
        }
      }
    }

    /* A scene's picture: (pixels, pixels, 3) bytes. Places and boxes are in units of 1/64 of the side. */
    scene({ background, variant, things }, pixels = SIDE) {
      const canvas = this.background(background, variant, pixels).slice();
      for (const thing of things) {
        const x = Math.round((thing.x * pixels) / SIDE), y = Math.round((thing.y * pixels) / SIDE);
        const box = Math.min(Math.round((thing.box * pixels) / SIDE), pixels - Math.max(x, y));
        const rgb = thing.rgb || this.data.colors[thing.color];
        if (box > 0) this.paint(canvas, pixels, thing.kind, rgb, x, y, box, thing.flip);
      }
      return canvas;
    }
  }

  if (typeof module === "object" && module.exports) module.exports = { Drawing };
  else root.Drawing = Drawing;
})(globalThis);
