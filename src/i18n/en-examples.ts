/** The texts about the example programs, in plain English. */
export const exampleTexts = {
  'examples.title': 'Learning without example answers',
  'examples.hint':
    'Two small programs on the embedded model. Each takes a few minutes without a graphics card, and keeps its result above.',
  'examples.rewardTitle': 'From a reward',
  'examples.rewardText':
    'The model writes the beginnings of stories. Those that begin with “Once there was” earn a point, all others none. It is told nothing else, and learns what pays (reinforcement learning).',
  'examples.preferenceTitle': 'From preferences',
  'examples.preferenceText':
    'First it learns to answer in two tones, both alike. Then pairs of answers say which one people like better, and it leans that way (direct preference optimisation, DPO).',
  'examples.start': 'Start',
  'examples.startReward': 'Start learning from a reward',
  'examples.startPreference': 'Start learning from preferences',
  'examples.stop': 'Stop',
  'examples.stopLabel': 'Stop the example',
  'examples.stopping': 'Stopping…',
  'examples.loading': 'Loading the model',
  'examples.measuring': 'Asking questions that it is not trained on',
  'examples.training': 'Training',
  'examples.step': '{done} of {total}',
  'examples.rewardPoint': 'Mean reward',
  'examples.preferencePoint': 'Pairs told apart',
  'examples.chart': '{name} over the steps',
  'examples.rewardResult': 'Answers that begin as wanted: {before} before, {after} after ({seconds} s).',
  'examples.preferenceResult':
    'Answers in the tone that is liked better: {before} before the pairs, {after} after ({seconds} s).',
  'examples.before': 'Before',
  'examples.after': 'After',
  'examples.busy': 'Something else is being trained. Stop it first.',
  'examples.keep': 'The adapter is kept under Checkpoints.',
} as const;
