-- Faults of `iommuman faults --format jsonl`, `iommuman run --faults-to jsonl:PATH` and `slog2info --json`, for DuckDB.
-- Use: FROM faults('storm.jsonl'), or faults('*.jsonl') for many files. Times that are not UTC are NULL.
CREATE OR REPLACE MACRO faults(log) AS TABLE
SELECT
    CASE WHEN Attributes ->> '$."fault.clock"' = 'utc'
         THEN make_timestamp_ns(CAST(Attributes ->> '$."fault.time"' AS BIGINT)) END AS time,
    Attributes ->> '$."fault.iommu"' AS iommu,
    Attributes ->> '$."fault.device"' AS device,
    CAST(Attributes ->> '$."fault.identifier"' AS UBIGINT) AS identifier,
    Attributes ->> '$."fault.address"' AS address,
    Attributes ->> '$."fault.access"' AS access,
    Attributes ->> '$."fault.name"' AS name,
    Attributes ->> '$."fault.reason"' AS reason,
    Attributes ->> '$."fault.place"' AS place,
    coalesce(CAST(Attributes ->> '$."fault.lost"' AS BOOLEAN), false) AS lost,
    coalesce(CAST(Attributes ->> '$."fault.count"' AS UBIGINT), 1) AS count,
    Body AS text
FROM read_json(log, format = 'newline_delimited', columns = { Body: 'VARCHAR', Attributes: 'JSON' })
WHERE Attributes ->> '$."fault.reason"' IS NOT NULL;
