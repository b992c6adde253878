# Sourced: what the profiles in a folder say of their walks. Counts run on from file to file of a process, so that
# the last one of each has the sums. $tests is the folder this file is in.

# comments FILE: one per line
comments() { python3 "$tests/strict_pprof.py" --comment '' "$1"; }

# walks_in FOLDER: "walks complete" over every process that left a profile there
walks_in() {
    find "$1" -name '*-cpu-*.pb.gz' | sort -V | awk '{ key = $0; sub(/-[0-9]+\.pb\.gz$/, "", key); last[key] = $0 }
        END { for (key in last) print last[key] }' | while read -r file; do comments "$file"; done |
        awk -F= '$1 == "#walks" { walks += $2 } $1 == "#walks_complete" { complete += $2 }
            END { printf "%d %d\n", walks, complete }'
}

# percent PART WHOLE
percent() { awk -v part="$1" -v whole="$2" 'BEGIN { printf "%.3f %%", whole ? 100 * part / whole : 0 }'; }

# least_share PART WHOLE SHARE: is the part at least that share of the whole?
least_share() { awk -v part="$1" -v whole="$2" -v share="$3" 'BEGIN { exit !(whole && part >= share * whole) }'; }
