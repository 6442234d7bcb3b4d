/* Whether a picture is unlike the training pictures: uvlm_mini/deploy/familiar.py, on the same int8 maps.
 *
 *     const familiarity = new Familiarity(about);            what scripts/build_live.py writes of it
 *     familiarity.strangeness(captioner)                     of the picture that was encoded; above 1: unlike them
 *
 * Mean and standard deviation of every channel make a vector. Its distance from the training pictures' mean, in
 * directions that are scaled by how much those vary, is divided by the distance that one ordinary picture in a hundred
 * exceeds. */
"use strict";

(function (root) {
  class Familiarity {
    /* about: records, positions, channels (C), limit, mean (2C numbers) and whiten (2C rows of 2C numbers). */
    constructor(about) {
      Object.assign(this, about);
    }

    /* (positions, C) int8 -> 2C numbers. */
    vector(maps) {
      const { positions: n, channels: C } = this, vector = new Float64Array(2 * C);
      for (let c = 0; c < C; c++) {
        let sum = 0, squares = 0; // whole numbers: exact
        for (let p = 0; p < n; p++) {
          const value = maps[p * C + c];
          sum += value;
          squares += value * value;
        }
        vector[c] = sum / n;
        vector[C + c] = Math.sqrt((squares - (sum * sum) / n) / (n - 1));
      }
      return vector;
    }

    /* (positions, C) int8 -> distance in units of the limit. */
    distance(maps) {
      const apart = this.vector(maps).map((value, i) => value - this.mean[i]), size = apart.length;
      let squares = 0;
      for (let j = 0; j < size; j++) {
        let along = 0;
        for (let i = 0; i < size; i++) along += apart[i] * this.whiten[i * size + j];
        squares += along * along;
      }
      return Math.sqrt(squares) / this.limit;
    }

    strangeness(captioner) {
      return this.distance(captioner.early(this.records, this.positions * this.channels));
    }
  }

  if (typeof module === "object" && module.exports) module.exports = { Familiarity };
  else root.Familiarity = Familiarity;
})(globalThis);
