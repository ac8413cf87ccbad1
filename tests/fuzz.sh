#!/usr/bin/env bash
# Fuzzes every target of tests/fuzz for FUZZ_SECONDS each (default 5), or the
# targets named as arguments. Installs cargo-fuzz if it is missing; libFuzzer's
# flags need RUSTC_BOOTSTRAP on the stable toolchain. An input that fails is
# kept in tests/fuzz/artifacts and its command printed.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never RUSTC_BOOTSTRAP=1
seconds=${FUZZ_SECONDS:-5}
# Our code is safe Rust: the address sanitizer mostly costs time here.
sanitizer=${FUZZ_SANITIZER:-none}
out=${FUZZ_TARGET_DIR:-${CARGO_TARGET_DIR:-target}/fuzz}
corpus=$out/corpus

if ! cargo fuzz --version >/dev/null 2>&1; then
  cargo install cargo-fuzz --locked
fi
triple=$(rustc -vV | sed -n 's/^host: //p')
cargo fuzz build --fuzz-dir tests/fuzz --target-dir "$out" --target "$triple" \
  --sanitizer "$sanitizer"

# As in server/crates/account/src/certificate_test.rs.
certificate='MIICMzCCAdmgAwIBAgIUUmyErNn/XEpe7um7DoRS/ywzvM4wCgYIKoZIzj0EAwIwbzETMBEGCgmSJomT8ixkARkWA29yZzEUMBIGCgmSJomT8ixkARkWBGFjbWUxDTALBgNVBAoMBEFjbWUxDDAKBgNVBAsMA09wczEMMAoGA1UECwwDRGV2MRcwCAYDVQQLDAF6MAsGA1UEAwwEI2pvZTAeFw0yNjExMjEwMzI4MzVaFw0yNjEyMDEwMzI4MzVaMG8xEzARBgoJkiaJk/IsZAEZFgNvcmcxFDASBgoJkiaJk/IsZAEZFgRhY21lMQ0wCwYDVQQKDARBY21lMQwwCgYDVQQLDANPcHMxDDAKBgNVBAsMA0RldjEXMAgGA1UECwwBejALBgNVBAMMBCNqb2UwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQbTv/ApoYskaqn3P2Ip2ImbN9g5Ro3Oy8+dMkMATlMuMux6173sllUMDhV7PKtOw99MG+VU9cDWGfT9vrowMq9o1MwUTAdBgNVHQ4EFgQU5WVB66dn6lKp23652o/NyY+4vvYwHwYDVR0jBBgwFoAU5WVB66dn6lKp23652o/NyY+4vvYwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA1sL5dBwf9yuUQqHM3Ytkp5fHYN/P+AtNsXCGFaKokcACIDbFZ25oL8/yIPV53+odJluQoo2o2eviN1PV4mHcuWTl'
# A few good inputs to start from; everything else is found by mutation.
seed() { mkdir -p "$corpus/$1"; cat >"$corpus/$1/seed-$2"; }
seeds() {
  local n=0 f line
  for f in config/samples/*.conf; do
    n=$((n + 1)); seed config "$n" <"$f"
  done
  printf '\0CONNECT {"verbose":false}\r\nSUB a.> q 1\r\nPUB a.b r 2\r\nhi\r\nPING\r\nUNSUB 1 2\r\n' |
    seed client_parser 1
  printf '\0HPUB a r 22 24\r\nNATS/1.0\r\nA: b\r\n\r\n\r\nhi\r\n+OK\r\n-ERR x\r\nINFO {}\r\n' |
    seed client_parser 2
  printf '\1ANATS/1.0 503 No Responders\r\nA: b\r\nA:c\r\nNats-Msg-Id: 1\r\n\r\n' | seed headers 1
  printf '{"verbose":true,"user":"a","pass":"b","lang":"x","version":"1","protocol":1,"headers":true,"no_responders":true,"echo":false,"jwt":"","sig":"","nkey":"","tls_required":false,"name":"n"}' |
    seed connect_json 1
  n=0
  while IFS= read -r line; do
    n=$((n + 1))
    printf '\4%s' "$line" | seed jetstream_json "s$n"
    [ "$n" -lt 8 ] || break
  done <server/crates/jetstream/fixtures/api/stream_config.jsonl
  printf '\5{"stream_name":"S","config":{"durable_name":"c","ack_policy":"explicit","filter_subjects":["a","b"],"backoff":[1,2],"deliver_policy":"by_start_time","opt_start_time":"2024-01-01T00:00:00Z"},"action":"create"}' |
    seed jetstream_json c
  printf '\6$JS.API.CONSUMER.CREATE.S.c.a.b' | seed jetstream_json e
  printf '\7$JS.ACK.S.c.1.2.3.4.5' | seed jetstream_json a
  key=UAY3LBL6YRMAS4RFMHQ4AJEHGP6AMUSPXNKNEL37HMJPLCY2BXLIT3FP
  printf '\1{"iss":"ISSUER","sub":"%s","iat":1,"nats":{"type":"user","version":2,"subs":-1,"pub":{"allow":["a"]},"src":["10.0.0.0/8"],"times":[{"start":"08:00:00","end":"17:00:00"}],"times_location":"Europe/Berlin"}}' "$key" | seed jwt 1
  printf '\0{"iss":"ISSUER","sub":"ACBR4YX6E6ETK7OS2YJPX7NZZT2AOEXSLUL5EOT7S37PYB3LMBJ3S7VH","nats":{"type":"account","version":2,"limits":{"exports":-1,"tiered_limits":{"R1":{"disk_storage":9}}},"exports":[{"subject":"a.*","type":"service"}],"signing_keys":[{"kind":"user_scope","key":"A","template":{}}],"mappings":{"a":[{"subject":"b"}]}}}' | seed jwt 2
  printf '\3{"iss":"ISSUER","sub":"%s","type":"user","tags":[],"nats":{"src":"10.0.0.0/8"}}' "$key" | seed jwt 3
  printf '%s\nAAAA' "$key" | seed nkey 1
  printf '{"user":"a","pass":"secret-a","auth_token":"secret-token","nkey":"%s","sig":"AAAA","proxy_sig":"AAAA"}' "$key" | seed login 1
  printf '\0{"iss":"ISSUER","sub":"USER","aud":"APP","name":"bob","nats":{"type":"user","version":2,"subs":-1,"pub":{"allow":["a"]},"times":[{"start":"08:00:00","end":"17:00:00"}]}}' | seed callout_answer 1
  printf 'CN=joe+OU=a\\, b,O=Acme' | seed certificate 1
  base64 -d <<<"$certificate" | seed certificate 2
  printf 'PROXY TCP4 192.0.2.7 127.0.0.1 4660 4222\r\n\26\3\1' | seed proxy_header 1
  printf '\r\n\r\n\0\r\nQUIT\n\41\21\0\14\300\0\2\7\177\0\0\1\22\64\20\176' | seed proxy_header 2
  printf '\20\0{"a":1}' | seed record_frames 1
  for n in 1 2; do
    cat server/crates/jetstream/fixtures/snapshot/v$n-file.s2 | seed "snapshot_v$n" 1
    cat server/crates/jetstream/fixtures/snapshot/v$n-file.s2 | seed s2_stream "$n"
  done
  printf '\1\0\0\20\1\0\40\2' | seed wal_open 1
  printf '\1\0\0\20\1\0\40\2' | seed block_file 1
  printf '\1\0\0\20\1\0\40\2' | seed index_checkpoint 1
  # skip, delete, purge, gone, delta, trim, expire, advance
  printf '\1\12\1\7\0\0\0\0\0\0\0\0\2\31\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0S.a\7\11\1\1\0\0\0\0\0\0\0' |
    seed stream_log 1
  # an advance to the last number there is
  printf '\11\21\1\377\377\377\377\377\377\377\377\0\0\0\0\0\0\0\0' | seed stream_log 2
  printf '\0\1\0\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1\1' | seed consumer_delta 1
  # every check on; the RFC's key
  printf '\37GET /x/mqtt HTTP/1.1\r\nHost: a.b\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: http://a.b\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nUser-Agent: Mozilla/5.0\r\nCookie: u=x\r\nX-Forwarded-For: 1.2.3.4\r\nNats-No-Masking: true\r\n\r\n' |
    seed websocket_upgrade 1
  # masked, compressed "Hello" in two frames around a ping, then a close
  printf '\3\102\203\0\0\0\0\362\110\315\211\202\1\2\3\4hi\200\204\0\0\0\0\311\311\7\0\210\202\0\0\0\0\3\350' |
    seed websocket_frames 1
  printf '\0\202\6PING\r\n\1\3abc\0\0\200\1d' | seed websocket_frames 2
}
seeds

targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(ls tests/fuzz/fuzz_targets | sed 's/\.rs$//')
failed=()
for t in "${targets[@]}"; do
  printf '== fuzz %s\n' "$t"
  mkdir -p "$corpus/$t" "tests/fuzz/artifacts/$t"
  log=$out/$t.log
  if ! "$out/$triple/release/$t" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=3000 \
    -max_len=16384 -artifact_prefix="tests/fuzz/artifacts/$t/" -print_final_stats=1 \
    "$corpus/$t" >"$log" 2>&1; then
    tail -n 40 "$log"
    printf 'repeat: %s <artifact named above>\n' "$out/$triple/release/$t"
    failed+=("$t")
    continue
  fi
  grep -E 'number_of_executed_units' "$log" || true
done
if [ ${#failed[@]} -gt 0 ]; then
  printf 'failed: %s\n' "${failed[*]}"
  exit 1
fi
