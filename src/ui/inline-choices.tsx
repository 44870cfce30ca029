import { useId } from 'react';

interface InlineChoicesProps<Value extends string> {
  label: string;
  hint?: string;
  value: Value;
  options: readonly { value: Value; label: string }[];
  disabled: boolean;
  onChange: (value: Value) => void;
}

/** A short question with its answers in one line. */
export function InlineChoices<Value extends string>(props: InlineChoicesProps<Value>) {
  const id = useId();
  const hint = props.hint === undefined ? undefined : `${id}-hint`;
  return (
    <div className="field" role="radiogroup" aria-labelledby={`${id}-label`} aria-describedby={hint}>
      <span className="field-label" id={`${id}-label`}>
        {props.label}
      </span>
      {hint === undefined ? null : (
        <span className="field-hint" id={hint}>
          {props.hint}
        </span>
      )}
      <div className="inline-choices">
        {props.options.map(({ value, label }) => (
          <label key={value}>
            <input
              type="radio"
              name={id}
              checked={value === props.value}
              disabled={props.disabled}
              onChange={() => props.onChange(value)}
            />
            {label}
          </label>
        ))}
      </div>
    </div>
  );
}
