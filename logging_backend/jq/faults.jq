# Faults of `iommuman faults --format jsonl`, `iommuman run --faults-to jsonl:PATH` and `slog2info --json`, for jq 1.6.
# Use: jq -n -r -L DIRECTORY 'include "faults"; top_devices' FILE...

# A flat object of each line that is a fault; what is not known is null.
def faults:
  inputs | .Attributes | select(type == "object" and has("fault.reason"))
  | { time: (if .["fault.clock"] == "utc" then .["fault.time"] / 1e9 else null end),
      device: (.["fault.device"] // (.["fault.identifier"] | if . then "ID \(.)" else null end)),
      iommu: .["fault.iommu"], address: .["fault.address"], access: .["fault.access"],
      reason: .["fault.reason"], name: .["fault.name"], place: .["fault.place"],
      lost: (.["fault.lost"] // false), count: (.["fault.count"] // 1) };

# Accesses that were refused; notices of records that were lost are left out, as they tell of no access.
def refused: faults | select((.lost | not) or .address != null);

def sums(key): reduce .[] as $one ({}; .[$one | key] += $one.count) | to_entries;
def table: map("\(.value)\t\(.key)") | .[];
def ranked: sort_by(-.value, .key);

# Devices by refused accesses.
def top_devices: [refused] | sums(.device // "unknown") | ranked | table;

# Refused accesses a minute, in UTC.
def per_minute: [refused | select(.time)] | sums(.time / 60 | floor | . * 60 | todate) | sort_by(.key) | table;

# What was hit: reserved memory, a grant, registers ... (needs faults that were laid beside a board).
def places: [refused] | sums(.place // "nothing that is known") | ranked | table;
