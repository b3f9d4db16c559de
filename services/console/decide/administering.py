"""What can be done to accounts, API keys, alert rules, silences and webhooks, one entry each."""

from __future__ import annotations

from dataclasses import replace

from services.console.decide import fields as f
from services.console.decide.action import Action
from services.console.decide.forms import Field

_ACCOUNTS = (
    Action("account.create", "New account", "New account",
           "The name stands in the log as who did what, for ever, and is never given to somebody"
           " else.", "POST", "/auth/register", "admin",
           (Field("username", "Name", required=True), f.PASSWORD, f.ROLE)),
    Action("account.role", "Role", "Another role for {username}",
           "It holds at once. Keys it made that may do more than it then may are revoked.", "PUT",
           "/accounts/{id}/role", "admin", (f.ROLE,), prefill=True),
    Action("account.password", "Password", "A new password for {username}",
           "It ends all sessions of the account; whoever has it logs in again.", "PUT",
           "/accounts/{id}/password", "admin", (f.PASSWORD,)),
    Action("account.close", "Close", "Close the account {username}?",
           "It is out at once, and every key it made with it. It cannot be opened again, and its"
           " name stays taken.", "DELETE", "/accounts/{id}", "admin", is_grave=True),
)  # fmt: skip
_OWN = (
    Action("own.password", "Change password", "Another password for you",
           "It ends all of your sessions, this one too: you log in again with it.", "POST",
           "/auth/password", "known",
           (Field("current_password", "Password now", "password", required=True),
            replace(f.PASSWORD, label="New password"))),
)  # fmt: skip
_KEYS = (
    Action("key.create", "New API key", "New API key",
           "For a program. It may do no more than you, and is shown once.", "POST", "/keys",
           "known", f.KEY),
    Action("key.revoke", "Revoke", "Revoke the API key {name}?",
           "From then on it opens nothing. It cannot be brought back; another one can be made.",
           "DELETE", "/keys/{id}", "known", is_grave=True),
)  # fmt: skip
_ALERTS = (
    Action("rule.change", "Limits", "Limits of {rule}",
           "They hold at once, for open alerts too.", "PATCH", "/alerts/rules/{id}", "admin",
           prefill=True, fields_of=f.limits_of),
    Action("rule.enable", "Switch on", "Watch {rule} again?",
           "What it watches is an alert again from then on.", "PATCH", "/alerts/rules/{id}",
           "admin", fixed={"enabled": True}),
    Action("rule.disable", "Switch off", "Switch {rule} off?",
           "It raises nothing from then on, and what it raised is over. To be left in peace for"
           " a while, begin a silence instead.", "PATCH", "/alerts/rules/{id}", "admin",
           fixed={"enabled": False}, is_grave=True),
    Action("silence.create", "New silence", "New silence",
           "Nobody is told of these alerts until then. They are raised, and shown here, all the"
           " same.", "POST", "/alerts/silences", fields=f.SILENCE),
    Action("silence.lift", "End", "End this silence?",
           "What is still open is told at once.", "DELETE", "/alerts/silences/{id}"),
)  # fmt: skip
_WEBHOOKS = (
    Action("webhook.create", "New webhook", "New webhook", "Every alert is sent there.", "POST",
           "/webhooks", "admin", f.WEBHOOK),
    Action("webhook.change", "Change", "Change the webhook {url}", "", "PATCH", "/webhooks/{id}",
           "admin", (Field("url", "Address", required=True),), prefill=True),
    Action("webhook.rotate", "New secret", "A new signing secret for {url}?",
           "Messages are signed with it from then on: its receiver must know it. It is shown"
           " once.", "PATCH", "/webhooks/{id}", "admin", fixed={"rotate_secret": True},
           is_grave=True),
    Action("webhook.test", "Send a test", "Send a test to {url}?",
           "One message that means nothing. Whether it arrived is in the log of deliveries.",
           "POST", "/webhooks/{id}/test"),
    Action("webhook.resend", "Send again", "Send this message to {url} again?",
           "As it was, with the same id: its receiver may know it already.", "POST",
           "/webhooks/{id}/deliveries/{message_id}/resend", fields=(f.MESSAGE,)),
    Action("webhook.delete", "Delete", "Delete the webhook {url}?",
           "No alert is sent there any more.", "DELETE", "/webhooks/{id}", "admin",
           is_grave=True),
)  # fmt: skip
ALL = (*_ACCOUNTS, *_OWN, *_KEYS, *_ALERTS, *_WEBHOOKS)
