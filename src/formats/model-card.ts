/** README.md of an adapter: PEFT's front matter and a few plain words. No ids and no times: same run, same bytes. */
import type { LoraSettings } from './adapter.ts';

export interface CardFields {
  /** Name of the training data, as the person knows it; null when unknown. */
  dataName: string | null;
  /** Rows of the table "Training", such as `['Steps', '120']`, in this order. */
  facts: readonly (readonly [string, string])[];
}

const HUB_ID = /^[A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95}$/;

/** Text from outside as one line that neither Markdown nor HTML reads as its own. */
function plain(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .replace(/[\\`*_{}[\]<>|#]/g, '\\$&')
    .slice(0, 300);
}

/** The text of the model card. */
export function modelCard(baseId: string, settings: LoraSettings, card: CardFields): string {
  const front = [
    '---',
    ...(HUB_ID.test(baseId) ? [`base_model: ${baseId}`] : []),
    'library_name: peft',
    'pipeline_tag: text-generation',
    'tags:',
    ...(HUB_ID.test(baseId) ? [`- base_model:adapter:${baseId}`] : []),
    '- lora',
    '- lorikeet',
    '---',
  ];
  const rows: (readonly [string, string])[] = [
    ['Base model', baseId],
    ...(card.dataName === null ? [] : [['Data', card.dataName] as const]),
    ['Rank', String(settings.rank)],
    ['Alpha', String(settings.alpha)],
    ['Scale', settings.rslora ? 'alpha / sqrt(rank)' : 'alpha / rank'],
    ['Layers', settings.targetModules.join(', ')],
    ...card.facts,
  ];
  return [
    ...front,
    '',
    '# LoRA adapter',
    '',
    'A low-rank adapter, trained with Lorikeet. Load it on top of its base model:',
    '',
    '```python',
    'from peft import PeftModel',
    'from transformers import AutoModelForCausalLM',
    '',
    `base = AutoModelForCausalLM.from_pretrained(${JSON.stringify(baseId)})`,
    'model = PeftModel.from_pretrained(base, "path/to/this/folder")',
    '```',
    '',
    '| | |',
    '| --- | --- |',
    ...rows.map(([label, value]) => `| ${plain(label)} | ${plain(value)} |`),
    '',
  ].join('\n');
}
