//! See `gust_fuzz::block_file`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| gust_fuzz::block_file(data));
