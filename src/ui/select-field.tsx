import { useId } from 'react';

interface SelectFieldProps<Value extends string> {
  label: string;
  hint: string;
  value: Value;
  options: readonly { value: Value; label: string }[];
  disabled: boolean;
  onChange: (value: Value) => void;
}

/** One of a few named values. */
export function SelectField<Value extends string>(props: SelectFieldProps<Value>) {
  const id = useId();
  return (
    <div className="field">
      <label className="field-label" htmlFor={id}>
        {props.label}
      </label>
      <span className="field-hint" id={`${id}-hint`}>
        {props.hint}
      </span>
      <div>
        <select
          id={id}
          className="input"
          value={props.value}
          disabled={props.disabled}
          aria-describedby={`${id}-hint`}
          onChange={(event) => {
            const chosen = props.options.find(({ value }) => value === event.currentTarget.value);
            if (chosen !== undefined) props.onChange(chosen.value);
          }}
        >
          {props.options.map(({ value, label }) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </select>
      </div>
    </div>
  );
}
