// Cut a question to the search into words: `splitQuery` of Sphinx's searchtools, for Thai beside English.
// The index holds runs of Thai letters whole (Thai has no spaces between words); Sphinx finds a word of
// three letters or more inside them. So shorter pieces are joined to a neighbour.
var splitQuery = (query) => {
  const thai = /^[\u0e00-\u0e7f]+$/;
  const runs = query.match(/[\u0e00-\u0e7f]+|[\p{L}\p{M}\p{N}_]+/gu) || [];
  const scripts = runs.flatMap((run) => run.match(/[\u0e00-\u0e7f]+|[^\u0e00-\u0e7f]+/g));
  const words = scripts.flatMap((run) => {
    if (!thai.test(run) || typeof Intl === "undefined" || !Intl.Segmenter) return [run];
    const joined = [];
    for (const { segment } of new Intl.Segmenter("th", { granularity: "word" }).segment(run)) {
      const last = joined.length - 1;
      if (last >= 0 && (segment.length < 3 || joined[last].length < 3)) joined[last] += segment;
      else joined.push(segment);
    }
    return joined;
  });
  return [...new Set(words)];
};
