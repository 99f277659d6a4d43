"""The indexes of the spool's tables: one for each question that a loop or a door asks."""

URGENCY = "kind IN ('receipt', 'started', 'progress'), kind NOT IN ('result', 'part')"
"""The order in which letters leave under a cap: results go before what only tells of them."""

OPEN = "state IN ('INTENDED', 'SUBMITTED', 'STARTED')"
"""Which attempts have not ended; in these words, so that their index is used."""

# Partial, so that a million ended jobs weigh nothing in the loops' questions.
INDEXES = (
    "CREATE INDEX message_purge ON message (purge) WHERE purge IS NOT NULL",
    "CREATE INDEX message_file ON message (file) WHERE file IS NOT NULL",
    "CREATE INDEX message_claimed ON message (taken) WHERE how = 'claimed' AND gone = 0",
    "CREATE INDEX errand_waiting ON errand (later, message) WHERE state = 'WAITING'",
    "CREATE INDEX errand_pending ON errand (message) WHERE state = 'PENDING'",
    "CREATE INDEX errand_puzzling ON errand (done) WHERE reason GLOB 'not understood: *'",
    "CREATE INDEX errand_held ON errand (id) WHERE state = 'HELD'",
    "CREATE UNIQUE INDEX confirmation_once ON confirmation (message, address, COALESCE(job, ''))",
    "CREATE INDEX confirmation_asked ON confirmation (asked) WHERE asked IS NOT NULL",
    "CREATE INDEX job_queued ON job (queued, service, lower(owner), how) WHERE phase = 'QUEUED'"
    " AND given = 0",
    "CREATE INDEX job_given ON job (service, lower(owner), how) WHERE given = 1",
    "CREATE INDEX job_waiting ON job (lower(owner), service, how) WHERE phase IN"
    " ('QUEUED', 'HELD')",
    "CREATE INDEX job_created ON job (created)",
    "CREATE INDEX job_owner ON job (lower(owner), created)",
    "CREATE INDEX job_took ON job (service, ended, started) WHERE code = 0",
    "CREATE INDEX job_active ON job (created) WHERE phase IN"
    " ('PENDING', 'HELD', 'QUEUED', 'EXECUTING', 'SUSPENDED', 'UNKNOWN')",
    "CREATE INDEX job_receipt ON job (receipt_due) WHERE receipt_due IS NOT NULL",
    "CREATE INDEX job_news ON job (news_due) WHERE news_due IS NOT NULL",
    "CREATE INDEX job_notice ON job (destruction) WHERE phase IN"
    " ('COMPLETED', 'ERROR', 'ABORTED') AND noticed IS NOT destruction",
    "CREATE INDEX job_wish ON job (id) WHERE wish IS NOT NULL",
    "CREATE INDEX job_destruction ON job (destruction) WHERE phase IN"
    " ('COMPLETED', 'ERROR', 'ABORTED')",
    "CREATE INDEX job_doomed ON job (destruction) WHERE destruction IS NOT NULL AND phase IN"
    " ('PENDING', 'HELD', 'QUEUED', 'EXECUTING', 'SUSPENDED', 'UNKNOWN')",
    "CREATE INDEX job_tombstone ON job (destruction) WHERE phase = 'ARCHIVED'",
    f"CREATE INDEX attempt_open ON attempt (token) WHERE {OPEN}",
    f"CREATE INDEX attempt_wanted ON attempt (token) WHERE wanted IS NOT NULL AND {OPEN}",
    "CREATE INDEX attempt_released ON attempt (token) WHERE held = 2",
    "CREATE INDEX input_source ON input (source) WHERE source IS NOT NULL",
    "CREATE UNIQUE INDEX letter_event ON letter (job, cause, recipient) WHERE job IS NOT NULL",
    "CREATE UNIQUE INDEX letter_answer ON letter (message, recipient, cause) WHERE job IS NULL"
    " AND message IS NOT NULL",
    "CREATE INDEX letter_shipment ON letter (shipment, part) WHERE shipment IS NOT NULL",
    "CREATE INDEX letter_planned ON letter (id) WHERE state = 'PLANNED'",
    "CREATE INDEX letter_waiting ON letter (next_try) WHERE state = 'WAITING'",
    f"CREATE INDEX letter_urgent ON letter ({URGENCY}, next_try) WHERE state = 'WAITING'",
    "CREATE INDEX letter_held ON letter (id) WHERE state = 'HELD'",
    "CREATE INDEX letter_bounced ON letter (id) WHERE state = 'BOUNCED'",
    "CREATE INDEX letter_told ON letter (message) WHERE kind = 'commands'",
    "CREATE INDEX letter_sent ON letter (sent) WHERE sent IS NOT NULL",
    "CREATE INDEX tally_of ON tally (subject, at)",
    "CREATE INDEX event_key ON event (key) WHERE key IS NOT NULL",
    "CREATE INDEX event_loose ON event (at) WHERE job IS NULL",
    "CREATE INDEX event_job ON event (job) WHERE job IS NOT NULL",
)
