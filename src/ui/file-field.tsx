import { useId } from 'react';

interface FileFieldProps {
  label: string;
  hint?: string;
  /** `folder` asks for a folder, `many` for several files. */
  kind: 'one' | 'many' | 'folder';
  accept?: string;
  disabled: boolean;
  onFiles: (files: FileList) => void;
}

/** The browser's own file button. */
export function FileField({ label, hint, kind, accept, disabled, onFiles }: FileFieldProps) {
  const id = useId();
  return (
    <div className="field">
      <label className="field-label" htmlFor={id}>
        {label}
      </label>
      {hint === undefined ? null : (
        <span className="field-hint" id={`${id}-hint`}>
          {hint}
        </span>
      )}
      <input
        id={id}
        className="file-input"
        type="file"
        multiple={kind === 'many'}
        accept={accept}
        disabled={disabled}
        aria-describedby={hint === undefined ? undefined : `${id}-hint`}
        ref={(input) => {
          if (input !== null) input.webkitdirectory = kind === 'folder';
        }}
        onChange={(event) => {
          const { files } = event.currentTarget;
          if (files !== null && files.length > 0) onFiles(files);
        }}
        onClick={(event) => {
          // Empties it, so that the same file picked again counts as a change: it may have been edited.
          event.currentTarget.value = '';
        }}
      />
    </div>
  );
}
