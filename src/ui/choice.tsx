import { type ReactNode, useId } from 'react';

interface ChoiceProps {
  /** Radio buttons of one name exclude each other. */
  group: string;
  title: string;
  hint: string;
  checked: boolean;
  disabled: boolean;
  onChoose: () => void;
  /** What belongs to this choice, shown below it. */
  children?: ReactNode;
}

/** A radio button with a title and a line that explains it. */
export function Choice({ group, title, hint, checked, disabled, onChoose, children }: ChoiceProps) {
  const id = useId();
  return (
    <div className="choice">
      <label className="choice-label">
        <input
          type="radio"
          name={group}
          checked={checked}
          disabled={disabled}
          onChange={onChoose}
          aria-labelledby={`${id}-title`}
          aria-describedby={`${id}-hint`}
        />
        <span className="choice-title" id={`${id}-title`}>
          {title}
        </span>
        <span className="choice-hint" id={`${id}-hint`}>
          {hint}
        </span>
      </label>
      {children === undefined ? null : <div className="choice-body">{children}</div>}
    </div>
  );
}

interface ChoicesProps {
  label: string;
  children: ReactNode;
}

/** The radio buttons of one question; its label is the heading of the section around it. */
export function Choices({ label, children }: ChoicesProps) {
  return (
    <div className="choices" role="radiogroup" aria-label={label}>
      {children}
    </div>
  );
}
