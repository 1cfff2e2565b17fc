interface ChoiceProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
  choices: readonly (readonly [string, string])[];
}

/** One of several values, in a toolbar. */
export function Choice({ label, value, onChange, choices }: ChoiceProps) {
  return (
    <select class="choice" aria-label={label} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
      {choices.map(([choice, words]) => (
        <option key={choice} value={choice}>
          {words}
        </option>
      ))}
    </select>
  );
}
