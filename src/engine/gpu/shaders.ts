/**
 * Every WGSL file, as text by its name without the ending (`lib/…` for libraries). The one place with `?raw` imports,
 * so that another loader can replace it.
 */
const files = import.meta.glob<string>('../../../shaders/**/*.wgsl', {
  query: '?raw',
  import: 'default',
  eager: true,
});

const byName = new Map(
  Object.entries(files).map(([path, text]) => [
    path.replace(/^.*\/shaders\//, '').replace(/\.wgsl$/, ''),
    text,
  ]),
);

/** The text of one shader file. */
export function shaderText(name: string): string {
  const text = byName.get(name);
  if (text === undefined) throw new Error(`No shader named ${name}.`);
  return text;
}

/** The kernels (files with an entry point), for tests that compile them all. */
export function kernelNames(): string[] {
  return [...byName.keys()].filter((name) => !name.startsWith('lib/')).sort();
}

/** All files as one text in a fixed order: its hash tells whether two runs computed with the same kernels. */
export function shaderSources(): string {
  return [...byName.keys()]
    .sort()
    .map((name) => `${name}\n${shaderText(name)}`)
    .join('\n');
}
