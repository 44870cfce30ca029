/** The sentences about what is done with kept checkpoints. */
import { formatBytes } from '../i18n/format.ts';
import { t } from '../i18n/index.ts';

/** What is going on. */
export const DOING = {
  changing: () => t('kept.changing'),
  deleting: () => t('kept.deleting'),
  restoring: () => t('kept.restoring'),
  emptying: () => t('kept.emptying'),
  looking: () => t('kept.looking'),
  verifying: () => t('kept.verifying'),
  comparing: () => t('kept.comparing'),
  saving: () => t('kept.saving'),
  peeking: () => t('kept.peeking'),
  adding: () => t('kept.adding'),
  asking: () => t('server.asking'),
  fetching: (name: string) => t('server.fetching', { name }),
  proving: () => t('kept.proving'),
  packing: (name: string) => t('kept.packing', { name }),
};

/** What was done. */
export const DONE = {
  deleted: (count: number) => t(count === 1 ? 'kept.deletedOne' : 'kept.deleted', { count: String(count) }),
  freed: (bytes: number) => t('kept.freed', { size: formatBytes(bytes) }),
  verified: (name: string, damage: string | null) =>
    damage === null ? t('kept.sound', { name }) : t('kept.damaged', { name, damage }),
  packed: (name: string, bytes: number) => t('kept.packed', { name, size: formatBytes(bytes) }),
  saved: (name: string) => t('kept.saved', { name }),
  added: (name: string, alreadyThere: boolean) => t(alreadyThere ? 'kept.there' : 'kept.added', { name }),
};
