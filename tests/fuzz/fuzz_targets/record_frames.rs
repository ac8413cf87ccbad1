//! See `gust_fuzz::record_frames`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| gust_fuzz::record_frames(data));
