import { useState } from 'react';
import { changeCheckpoint } from '../../client/checkpoints.ts';
import { t } from '../../i18n/index.ts';
import type { CheckpointRow } from '../../../workers/checkpoints-api.ts';
import { Button } from '../../ui/button.tsx';
import { TextField } from '../../ui/text-field.tsx';

const hoursLeft = (expiresAt: string | null): string =>
  expiresAt === null
    ? ''
    : String(Math.max(0, Math.round((Date.parse(expiresAt) - Date.now()) / 360_000) / 10));

/** Name, tags, note, time limit and pin of a checkpoint. */
export function CheckpointEdit({ row }: { row: CheckpointRow }) {
  const [name, setName] = useState(row.name);
  const [tags, setTags] = useState(row.tags.join(', '));
  const [note, setNote] = useState(row.note);
  const [hours, setHours] = useState(hoursLeft(row.expiresAt));
  const limit = hours.trim() === '' ? null : Number(hours);
  const wrongLimit = limit !== null && !(limit > 0);
  const apply = (): void => {
    const changesLimit = hours !== hoursLeft(row.expiresAt);
    void changeCheckpoint(row.id, {
      ...(name === row.name ? {} : { name }),
      tags: tags
        .split(',')
        .map((tag) => tag.trim())
        .filter((tag) => tag !== ''),
      note,
      ...(changesLimit ? { ttlSeconds: limit === null ? null : limit * 3600 } : {}),
    });
  };
  return (
    <div className="group">
      <div className="fields">
        <TextField label={t('kept.rename')} hint={t('kept.renameHint')} value={name} onChange={setName} />
        <TextField label={t('kept.tags')} hint={t('kept.tagsHint')} value={tags} onChange={setTags} />
        <TextField label={t('kept.note')} hint={t('kept.noteHint')} value={note} onChange={setNote} />
        <TextField
          label={t('kept.keepFor')}
          hint={t('kept.keepForHint')}
          value={hours}
          numeric
          problem={wrongLimit ? t('settings.notAbove', { min: '0' }) : undefined}
          onChange={setHours}
        />
      </div>
      <div className="kept-buttons">
        <Button unavailable={wrongLimit} onPress={apply}>
          {t('kept.apply')}
        </Button>
        <Button onPress={() => void changeCheckpoint(row.id, { pinned: !row.pinned })}>
          {t(row.pinned ? 'kept.unpin' : 'kept.pin')}
        </Button>
      </div>
    </div>
  );
}
