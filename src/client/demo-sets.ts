/** Fetches the list of demo data sets from beside the page. */
import { parseDemoIndex } from '../data/demo-index.ts';
import { toErrorFields } from '../errors.ts';
import { dataStore } from '../stores/data-store.ts';

export async function loadDemoSets(): Promise<void> {
  try {
    const response = await fetch(new URL('datasets/index.json', document.baseURI));
    dataStore.setState({ demos: parseDemoIndex(await response.json()), demosError: null });
  } catch (thrown) {
    dataStore.setState({ demosError: toErrorFields(thrown) });
  }
}
