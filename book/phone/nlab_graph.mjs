// A compressed model's weights put into an ONNX graph that has none (neurolab/export/graph_only.py).
//
// In such a graph a weight is "external data", and its location says which tensors of the file it is made of:
//
//     norm.weight                          the tensor as it is
//     A+B+C.T                              tensors of one width, one below the other, then transposed
//
// Only so much of ONNX's format (protobuf) is read as leads to the weights' names, shapes and locations.

import { NlabError } from "./nlab_text.mjs";

const [MODEL_GRAPH, GRAPH_WEIGHT] = [7, 5];
const TENSOR = { dims: 1, type: 2, name: 8, external: 13, where: 14 };
const [FLOAT, EXTERNAL] = [1, 1];

const refuse = (why) => {
  throw new NlabError(why);
};

/** The fields of a protobuf message: [number, whole number or bytes], in order. */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let [found, scale] = [0, 1];
    for (;;) {
      if (at >= bytes.length || scale > 2 ** 63) refuse("the graph is no ONNX, or cut off");
      const byte = bytes[at++];
      found += (byte & 127) * scale;
      if (byte < 128) return found;
      scale *= 128;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const [number, kind] = [Math.floor(key / 8), key % 8];
    if (kind === 0) {
      yield [number, varint()];
      continue;
    }
    const size = kind === 2 ? varint() : { 1: 8, 5: 4 }[kind];
    if (size === undefined || at + size > bytes.length) refuse("the graph is no ONNX, or cut off");
    yield [number, bytes.subarray(at, (at += size))];
  }
}

const text = (bytes) => new TextDecoder().decode(bytes);

/** The graph's external weights: [{name, shape, location}]. */
export function externalWeights(graph) {
  const found = [];
  for (const [part, body] of fields(graph)) {
    if (part !== MODEL_GRAPH) continue;
    for (const [piece, weight] of fields(body)) {
      if (piece !== GRAPH_WEIGHT) continue;
      const one = { shape: [], location: "" };
      let [type, where] = [0, 0];
      for (const [number, value] of fields(weight)) {
        if (number === TENSOR.dims) {
          // one size a field, or all in one
          if (typeof value === "number") one.shape.push(value);
          else for (let i = 0; i < value.length; ) i = packed(value, i, one.shape);
        }
        if (number === TENSOR.type) type = value;
        if (number === TENSOR.name) one.name = text(value);
        if (number === TENSOR.where) where = value;
        if (number === TENSOR.external) {
          const entry = Object.fromEntries([...fields(value)].map(([n, x]) => [n, text(x)]));
          if (entry[1] === "location") one.location = entry[2];
        }
      }
      if (where !== EXTERNAL) continue;
      if (type !== FLOAT) refuse(`the graph's weight ${one.name} is no float32`);
      found.push(one);
    }
  }
  return found;
}

function packed(bytes, at, into) {
  let [found, scale] = [0, 1];
  for (; bytes[at] >= 128; at++, scale *= 128) found += (bytes[at] & 127) * scale;
  into.push(found + bytes[at] * scale);
  return at + 1;
}

/** The numbers that a location asks for, and their shape. */
function made(location, tensors) {
  const turned = location.endsWith(".T");
  const parts = (turned ? location.slice(0, -2) : location).split("+").map((name) => {
    const tensor = tensors.get(name);
    if (!tensor) refuse(`the graph asks for the weight ${name}, which the file does not hold`);
    return tensor;
  });
  if (!turned && parts.length === 1) return parts[0];
  const width = parts[0].shape[1];
  for (const { shape } of parts) {
    if (shape.length !== 2 || shape[1] !== width) refuse(`the parts of ${location} are not of one width`);
  }
  const rows = parts.reduce((sum, { shape }) => sum + shape[0], 0);
  const data = new Float32Array(rows * width);
  let first = 0;
  for (const { shape, data: from } of parts) {
    if (!turned) data.set(from, first * width);
    else {
      for (let row = 0, i = 0; row < shape[0]; row++) {
        for (let j = first + row, column = 0; column < width; column++, j += rows) data[j] = from[i++];
      }
    }
    first += shape[0];
  }
  return { shape: turned ? [width, rows] : [rows, width], data };
}

/**
 * The weights as onnxruntime-web's `externalData` takes them: [{path, data (Uint8Array)}], one for each of the
 * graph's. graph: the bytes of the .onnx. NlabError where the graph and the tensors are not of one network.
 */
export function externalData(tensors, graph) {
  const wanted = externalWeights(graph);
  if (!wanted.length) refuse("the graph asks for no weights");
  return wanted.map(({ name, shape, location }) => {
    const { shape: found, data } = made(location, tensors);
    if (String(found) !== String(shape)) {
      refuse(`the graph's weight ${name} has shape (${shape.join(", ")}), the file's (${found.join(", ")})`);
    }
    return { path: location, data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) };
  });
}

/** Options of `InferenceSession.create(graph, options)` that put the tensors into the graph. */
export const sessionOptions = (graph, tensors) => ({ externalData: externalData(tensors, graph) });
