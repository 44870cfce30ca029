import { useState } from 'react';
import { useStore } from 'zustand';
import { downloadAdapter } from '../../client/download.ts';
import { readWireError } from '../../client/wire-error.ts';
import { t } from '../../i18n/index.ts';
import { exportStore } from '../../stores/export-store.ts';
import { settingsStore } from '../../stores/settings-store.ts';
import { Button } from '../../ui/button.tsx';

/** Saves the adapter; what came of it is shown by `ExportNote`. */
export function DownloadButton({ look, ready }: { look: 'plain' | 'primary'; ready: boolean }) {
  const dtype = useStore(settingsStore, (state) => state.adapterDtype);
  const [busy, setBusy] = useState(false);
  const download = async (): Promise<void> => {
    setBusy(true);
    try {
      exportStore.setState({ saved: await downloadAdapter(dtype), error: null });
    } catch (thrown) {
      exportStore.setState({ saved: null, error: readWireError(thrown) });
    } finally {
      setBusy(false);
    }
  };
  return (
    <Button look={look} unavailable={!ready || busy} later={!ready} onPress={() => void download()}>
      {t('run.download')}
    </Button>
  );
}
