-- Expressions for personal data, for req:redact(pii.email, "[email]"). They find what is written in the usual
-- way; they are no guarantee.
return {
  email = [[(?i)\b[a-z0-9._%+-]{1,64}@[a-z0-9-]+(?:\.[a-z0-9-]+)+\b]],
  iban = [[\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b]],
  card = [[\b(?:\d[ -]?){12,18}\d\b]],
  us_ssn = [[\b\d{3}-\d{2}-\d{4}\b]],
  phone = [[\+\d{1,3}[ -]?(?:\(\d{1,4}\)[ -]?)?\d[\d -]{6,14}\d\b]],
  ipv4 = [[\b(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b]],
  -- keys of well-known services: what must never reach anybody else's machine
  secret = [[\b(?:sk-[A-Za-z0-9_-]{20,}|AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,}|xox[abprs]-[A-Za-z0-9-]{10,})\b]],
}
