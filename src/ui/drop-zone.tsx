import { type DragEvent, type ReactNode, useState } from 'react';

interface DropZoneProps {
  disabled: boolean;
  /** Called in the drop event itself, while the transfer can be read. */
  onDrop: (transfer: DataTransfer) => void;
  children: ReactNode;
}

/** A place to drop files on; the same by button and keyboard is inside it. */
export function DropZone({ disabled, onDrop, children }: DropZoneProps) {
  const [over, setOver] = useState(false);
  const drag = (event: DragEvent): void => {
    event.preventDefault();
    setOver(!disabled);
  };
  return (
    <div
      className="drop-zone"
      data-over={over}
      onDragEnter={drag}
      onDragOver={drag}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        if (!disabled) onDrop(event.dataTransfer);
      }}
    >
      {children}
    </div>
  );
}
