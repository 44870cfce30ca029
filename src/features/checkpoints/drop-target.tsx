import { useEffect, useState } from 'react';
import { lookAt, refuseText } from '../../client/dropped-checkpoint.ts';
import { droppedItems } from '../../client/dropped-files.ts';
import { t } from '../../i18n/index.ts';

const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') ?? false;

/** The whole page takes files; what has a place of its own (model, data) is left to that place. */
export function DropTarget() {
  const [over, setOver] = useState(false);
  useEffect(() => {
    const onDrag = (event: DragEvent): void => {
      if (hasFiles(event)) setOver(true);
    };
    // Leaving for a child of the page has a related target; leaving the page has none.
    const onLeave = (event: DragEvent): void => {
      if (event.relatedTarget === null) setOver(false);
    };
    const onDrop = (event: DragEvent): void => {
      setOver(false);
      const inPlace = event.target instanceof Element && event.target.closest('.drop-zone') !== null;
      if (inPlace || event.dataTransfer === null) return;
      event.preventDefault();
      const text = event.dataTransfer.getData('text');
      if (hasFiles(event)) {
        void droppedItems(event.dataTransfer).then(({ files, left }) => lookAt(files, left));
      } else if (text !== '') refuseText(text);
      document.getElementById('checkpoints')?.scrollIntoView();
    };
    window.addEventListener('dragenter', onDrag);
    window.addEventListener('dragleave', onLeave);
    window.addEventListener('drop', onDrop);
    return () => {
      window.removeEventListener('dragenter', onDrag);
      window.removeEventListener('dragleave', onLeave);
      window.removeEventListener('drop', onDrop);
    };
  }, []);
  if (!over) return null;
  return (
    <div className="drop-overlay" aria-hidden="true">
      <p>{t('drop.overlay')}</p>
      <p className="quiet">{t('drop.overlayHint')}</p>
    </div>
  );
}
