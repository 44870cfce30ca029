/** The sign of the studio: a lorikeet's head in its own colours. */
export function LorikeetMark() {
  return (
    <svg viewBox="0 0 48 48" aria-hidden="true" focusable="false">
      <path
        d="M8 44V27C8 14 16.5 5 27 5c7.6 0 13 5.2 13 12.2 0 6.3-4.2 10.4-9.4 11.7C34.6 33 36 38 36 44Z"
        fill="var(--feather-green)"
      />
      <path
        d="M8.4 25.5C9.6 13.5 17.5 5 27 5c7.6 0 13 5.2 13 12.2 0 5.3-3 9.1-7.1 11-8.6 1.7-17.9.9-24.5-2.7Z"
        fill="var(--feather-blue)"
      />
      <path
        d="M8 30c6.5 3.7 16.5 4.6 24.7 2 1.1 1.5 1.9 3.2 2.4 5-9 2.5-19.8 1.9-27.1-2Z"
        fill="var(--feather-yellow)"
      />
      <path
        d="M32 10.5c6.5-.8 12 3 12 9 0 4.2-2 7.7-4.5 9.5.3-4.7-2.5-7.4-7.5-8.5Z"
        fill="var(--feather-orange)"
      />
      <circle cx="26" cy="15" r="3.4" fill="#fff" />
      <circle cx="26.7" cy="15" r="1.9" fill="#17211c" />
    </svg>
  );
}
