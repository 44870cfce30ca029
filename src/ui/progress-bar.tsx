interface ProgressBarProps {
  label: string;
  /** Beside the label, such as `3 of 6 MB`. */
  detail?: string;
  /** The label is there for screen readers only: other figures beside the bar say the same. */
  bare?: boolean;
  /** 0 to 1; null while it is not known. */
  value: number | null;
}

/** How far something is. */
export function ProgressBar({ label, detail, bare = false, value }: ProgressBarProps) {
  return (
    <div className="progress">
      {bare ? null : (
        <div className="progress-line">
          <span>{label}</span>
          {detail === undefined ? null : <span className="quiet">{detail}</span>}
        </div>
      )}
      {value === null ? (
        <progress aria-label={label} />
      ) : (
        <progress aria-label={label} max={1} value={value} />
      )}
    </div>
  );
}
