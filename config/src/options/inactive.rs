//! Options that are read and checked but do nothing in this version.

use super::Options;

impl Options {
    /// Names of configured features that are not active yet; the server warns of each once.
    #[must_use]
    pub fn inactive(&self) -> Vec<String> {
        let features = [
            ("cluster", self.cluster.listen.is_set() || !self.cluster.routes.is_empty()),
            ("gateway", self.gateway.listen.is_set()),
            ("leafnodes", self.leafnodes.listen.is_set() || !self.leafnodes.remotes.is_empty()),
            ("mqtt", self.mqtt.listen.is_set()),
            ("prof_port", self.profile_port != 0),
            ("prof_block_rate", self.profile_block_rate != 0),
            ("syslog", self.log.syslog || !self.log.remote_syslog.is_empty()),
            ("feature_flags", !self.feature_flags.is_empty()),
            ("default_js_domain", !self.default_js_domain.is_empty()),
            ("jetstream.tpm", self.jetstream.tpm.is_some()),
            ("jetstream.key", !self.jetstream.key.is_empty()),
        ];
        features.iter().filter(|(_, used)| *used).map(|(name, _)| (*name).to_owned()).collect()
    }
}
