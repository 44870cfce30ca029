import { expect, test } from 'vitest';
import { changeExample, examplesStore, NOTHING, tellExample } from './examples-store.ts';

test('what an example tells is kept for it alone', () => {
  tellExample('reward', { type: 'stage', stage: 'training', done: 2, total: 12 });
  tellExample('reward', { type: 'point', step: 1, share: 0.25 });
  tellExample('reward', { type: 'point', step: 2, share: 0.5 });
  const { reward, preference } = examplesStore.getState().views;
  expect(reward.stage).toMatchObject({ done: 2, total: 12 });
  expect(reward.points).toEqual([
    { step: 1, share: 0.25 },
    { step: 2, share: 0.5 },
  ]);
  expect(preference).toEqual(NOTHING);
  changeExample('reward', () => NOTHING);
  expect(examplesStore.getState().views.reward).toEqual(NOTHING);
});
