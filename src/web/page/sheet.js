// On a phone, the filter is in a sheet over the page, which a button opens.

const NARROW = matchMedia('(max-width: 760px)');

/** `form`: the bar, whose fields the sheet takes while it is open. `opened`: called then. */
export function start(form, opened) {
  const sheet = document.getElementById('sheet');
  const button = form.querySelector('.filters');
  const fields = form.querySelector('.fields');
  const saved = document.getElementById('saved');
  button.addEventListener('click', () => {
    // What is outside of a modal dialog cannot be used: the saved views go in as well.
    sheet.querySelector('form').prepend(fields);
    sheet.append(saved);
    button.setAttribute('aria-expanded', 'true');
    sheet.showModal();
    opened();
  });
  sheet.addEventListener('close', () => {
    form.append(fields);
    document.body.append(saved);
    button.setAttribute('aria-expanded', 'false');
    button.focus();
  });
  sheet.querySelector('.primary').addEventListener('click', () => sheet.close());
  // A tap beside the sheet closes it.
  sheet.addEventListener('click', (event) => { if (event.target === sheet) sheet.close(); });
  NARROW.addEventListener('change', () => sheet.close());
}
