// Whether the tensors of a compressed model's file are those of a network of the sizes that it states.
//
// The counterpart of `build` in neurolab/compressed_reader.py and of `Config` in neurolab/transformer.py.

import { NlabError, Odd, repr } from "./nlab_text.mjs";

const USUAL = { vocabulary: 1024, context: 96, width: 160, layers: 4, heads: 5, hidden: 640, head: 0 };

function sizesOf(config) {
  const sizes = { ...USUAL, ...config };
  for (const name of Object.keys(USUAL)) {
    const [value, least] = [sizes[name], name === "head" ? 0 : 1];
    if (typeof value === "boolean") sizes[name] = Number(value); // to Python True is 1
    if (value instanceof Odd && /^-?\d+$/.test(value.text)) sizes[name] = Number(value.text);
    if (!Number.isInteger(sizes[name]) || sizes[name] < least) {
      throw new NlabError(`${name} ${repr(value)}: must be a whole number of at least ${least}`);
    }
  }
  const { width, heads, head } = sizes;
  if (!head && width % heads) throw new NlabError(`width ${width}: must be a multiple of heads (${heads})`);
  return sizes;
}

/** The shape of each weight of a network, by its name. */
function shapes({ vocabulary, context, width, layers, heads, hidden, head }) {
  const inner = heads * (head || width / heads);
  const found = { "embedding.weight": [vocabulary, width], "position.weight": [context, width] };
  const norm = (name) => {
    found[`${name}.weight`] = [width];
    found[`${name}.bias`] = [width];
  };
  for (let i = 0; i < layers; i++) {
    norm(`blocks.${i}.norm1`);
    norm(`blocks.${i}.norm2`);
    for (const part of ["query", "key", "value"]) found[`blocks.${i}.attention.${part}.weight`] = [inner, width];
    found[`blocks.${i}.attention.out.weight`] = [width, inner];
    found[`blocks.${i}.feed_forward.up.weight`] = [hidden, width];
    found[`blocks.${i}.feed_forward.down.weight`] = [width, hidden];
  }
  norm("norm");
  return found;
}

const tuple = (shape) => (shape ? `(${shape.join(", ")}${shape.length === 1 ? "," : ""})` : "None");

/** Nothing, if every tensor is there with the shape that `config` asks for; otherwise NlabError. */
export function sizesFit(tensors, config, where = "the file") {
  const refuse = (why) => {
    throw new NlabError(`${where}: ${why}`);
  };
  const known = Object.keys(USUAL).sort();
  const unknown = Object.keys(config).filter((name) => !known.includes(name)).sort();
  if (unknown.length) refuse(`size ${repr(unknown[0])} is none of a network's (${known.join(", ")})`);
  let sizes;
  try {
    sizes = sizesOf(config);
  } catch (error) {
    if (error instanceof NlabError) refuse(`no sizes of a network (${error.message})`);
    throw error;
  }
  if (sizes.layers > tensors.size) refuse(`${sizes.layers} layers of ${tensors.size} tensors`);
  const { vocabulary, context, width, heads, hidden, head } = sizes;
  if (Math.max(vocabulary, context, head ? heads * head : width, hidden) * width > 2 ** 60) {
    refuse("no sizes of a network (a matrix of more than 2^60 numbers)");
  }
  const wanted = shapes(sizes);
  for (const name of [...new Set([...Object.keys(wanted), ...tensors.keys()])].sort()) {
    const [found, asked] = [tensors.get(name)?.shape, Object.hasOwn(wanted, name) ? wanted[name] : undefined];
    if (tuple(found) !== tuple(asked)) {
      refuse(`tensor ${repr(name)} has shape ${tuple(found)}, the sizes say ${tuple(asked)}`);
    }
  }
}
