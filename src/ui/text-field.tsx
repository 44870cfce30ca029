import { type ReactNode, useId } from 'react';

interface TextFieldProps {
  label: string;
  hint?: string;
  /** What is wrong with the value, as a sentence. */
  problem?: string | undefined;
  value: string;
  numeric?: boolean;
  disabled?: boolean;
  placeholder?: string;
  onChange: (text: string) => void;
  /** Enter was pressed. */
  onEnter?: () => void;
  /** Something beside the field, such as its button. */
  children?: ReactNode;
}

/** One line of text or a number, with its hint, and its problem beside it. */
export function TextField(props: TextFieldProps) {
  const id = useId();
  const { problem, hint } = props;
  const described = [hint === undefined ? '' : `${id}-hint`, problem === undefined ? '' : `${id}-problem`];
  return (
    <div className="field">
      <label className="field-label" htmlFor={id}>
        {props.label}
      </label>
      {hint === undefined ? null : (
        <span className="field-hint" id={`${id}-hint`}>
          {hint}
        </span>
      )}
      <div>
        <div className="input-row">
          <input
            id={id}
            className="input"
            type="text"
            inputMode={props.numeric === true ? 'decimal' : 'text'}
            autoComplete="off"
            spellCheck={false}
            value={props.value}
            disabled={props.disabled}
            placeholder={props.placeholder}
            aria-invalid={problem !== undefined}
            aria-describedby={described.join(' ').trim() || undefined}
            onChange={(event) => props.onChange(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key === 'Enter') props.onEnter?.();
            }}
          />
          {props.children}
        </div>
        {problem === undefined ? null : (
          <span className="field-hint field-problem" id={`${id}-problem`}>
            {problem}
          </span>
        )}
      </div>
    </div>
  );
}
