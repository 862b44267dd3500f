return {
  { "mail addresses and keys", request = { text = "write to Jo.Do@example.co.uk with sk-abcdefghijklmnopqrstuvwx" },
    sent = { text = "write to [email] with [secret]" },
    notes = { ["redacted.email"] = "1", ["redacted.secret"] = "1" } },
  { "an IBAN with blanks", request = { text = "to DE89 3704 0044 0532 0130 00 please" },
    sent = { text = "to [iban] please" } },
  { "a card", with = { kinds = { "card" } }, request = { text = "card 4111 1111 1111 1111, thanks" },
    sent = { text = "card [card], thanks" } },
  { "words mean themselves", with = { kinds = {}, words = { "Project (Heron)" } },
    request = { text = "about project (heron) and Project Heron" },
    sent = { text = "about [name] and Project Heron" } },
  { "nothing to do", request = { text = "hello" }, notes = { ["redacted.email"] = "" } },
  { "an unknown kind is an error", with = { kinds = { "emial" } }, request = { text = "x" }, denied = "policy_error" },
}
