//! JetStream's API errors: one constructor per row of the error table, with the
//! HTTP-like code, the `err_code` and the text clients compare against
//! (contract/jetstream-errors.tsv).

use crate::json::{JsonEmpty, json_struct};
use std::borrow::Cow;
use std::fmt::{self, Display};

json_struct! {
    /// The `error` member of every API answer.
    pub struct ApiError("ApiError") {
        /// HTTP-like status: 400, 404, 409, 412, 429, 500 or 503.
        code: u16 = "code",
        /// Which error it is; see [`code`].
        err_code: u16 = "err_code" omit,
        /// Text for people; some clients match on it, so it is part of the contract.
        description: Cow<'static, str> = "description" omit,
    }
}

impl ApiError {
    /// Whether this is the error numbered `err_code` (a constant of [`code`]).
    pub fn is(&self, err_code: u16) -> bool {
        self.err_code == err_code
    }
}

impl Display for ApiError {
    /// As nats-server prints an API error inside another text: `description (err_code)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.description, self.err_code)
    }
}

impl std::error::Error for ApiError {}

impl JsonEmpty for ApiError {
    fn is_empty(&self) -> bool {
        false
    }
}

macro_rules! description {
    ($text:literal) => {
        Cow::Borrowed($text)
    };
    ($text:literal $($arg:ident)+) => {
        Cow::Owned(format!($text))
    };
}

macro_rules! api_errors {
    ($($id:literal $status:literal $name:ident $make:ident($($arg:ident),*) $text:literal;)*) => {
        /// The `err_code` numbers by name.
        pub mod code {
            $(#[doc = $text] pub const $name: u16 = $id;)*
        }

        $(
            #[doc = concat!(stringify!($id), " (", stringify!($status), "): `", $text, "`")]
            pub fn $make($($arg: impl Display),*) -> ApiError {
                ApiError {
                    code: $status,
                    err_code: code::$name,
                    description: description!($text $($arg)*),
                }
            }
        )*

        /// Every row of the table as `(err_code, code, text with placeholders)`.
        pub const TABLE: &[(u16, u16, &str)] = &[$(($id, $status, $text)),*];
    };
}

api_errors! {
    10002 400 ACCOUNT_RESOURCES_EXCEEDED account_resources_exceeded() "resource limits exceeded for account";
    10003 400 BAD_REQUEST bad_request() "bad request";
    10004 503 CLUSTER_INCOMPLETE cluster_incomplete() "incomplete results";
    10005 400 CLUSTER_NO_PEERS cluster_no_peers(err) "{err}";
    10006 500 CLUSTER_NOT_ACTIVE cluster_not_active() "JetStream not in clustered mode";
    10007 500 CLUSTER_NOT_ASSIGNED cluster_not_assigned() "JetStream cluster not assigned to this server";
    10008 503 CLUSTER_NOT_AVAIL cluster_not_avail() "JetStream system temporarily unavailable";
    10009 500 CLUSTER_NOT_LEADER cluster_not_leader() "JetStream cluster can not handle request";
    10010 503 CLUSTER_REQUIRED cluster_required() "JetStream clustering support required";
    10011 400 CLUSTER_TAGS cluster_tags() "tags placement not supported for operation";
    10012 500 CONSUMER_CREATE consumer_create(err) "{err}";
    10013 400 CONSUMER_NAME_EXIST consumer_name_exist() "consumer name already in use";
    10014 404 CONSUMER_NOT_FOUND consumer_not_found() "consumer not found";
    10015 400 SNAPSHOT_DELIVER_SUBJECT_INVALID snapshot_deliver_subject_invalid() "deliver subject not valid";
    10016 400 CONSUMER_DURABLE_NAME_NOT_IN_SUBJECT consumer_durable_name_not_in_subject() "consumer expected to be durable but no durable name set in subject";
    10017 400 CONSUMER_DURABLE_NAME_NOT_MATCH_SUBJECT consumer_durable_name_not_match_subject() "consumer name in subject does not match durable name in request";
    10018 400 CONSUMER_DURABLE_NAME_NOT_SET consumer_durable_name_not_set() "consumer expected to be durable but a durable name was not set";
    10019 400 CONSUMER_EPHEMERAL_WITH_DURABLE_IN_SUBJECT consumer_ephemeral_with_durable_in_subject() "consumer expected to be ephemeral but detected a durable name set in subject";
    10020 400 CONSUMER_EPHEMERAL_WITH_DURABLE_NAME consumer_ephemeral_with_durable_name() "consumer expected to be ephemeral but a durable name was set in request";
    10021 400 STREAM_EXTERNAL_API_OVERLAP stream_external_api_overlap(prefix, subject) "stream external api prefix {prefix} must not overlap with {subject}";
    10022 400 STREAM_EXTERNAL_DEL_PREFIX_OVERLAPS stream_external_del_prefix_overlaps(prefix, subject) "stream external delivery prefix {prefix} overlaps with stream subject {subject}";
    10023 503 INSUFFICIENT_RESOURCES insufficient_resources() "insufficient resources";
    10024 400 STREAM_INVALID_EXTERNAL_DELIVERY_SUBJ stream_invalid_external_delivery_subj(prefix) "stream external delivery prefix {prefix} must not contain wildcards";
    10025 400 INVALID_JSON invalid_json(err) "invalid JSON: {err}";
    10026 400 MAXIMUM_CONSUMERS_LIMIT maximum_consumers_limit() "maximum consumers limit reached";
    10027 400 MAXIMUM_STREAMS_LIMIT maximum_streams_limit() "maximum number of streams reached";
    10028 500 MEMORY_RESOURCES_EXCEEDED memory_resources_exceeded() "insufficient memory resources available";
    10029 500 MIRROR_CONSUMER_SETUP_FAILED mirror_consumer_setup_failed(err) "{err}";
    10030 400 MIRROR_MAX_MESSAGE_SIZE_TOO_BIG mirror_max_message_size_too_big() "stream mirror must have max message size >= source";
    10031 400 MIRROR_WITH_SOURCES mirror_with_sources() "stream mirrors can not also contain other sources";
    10032 400 MIRROR_WITH_START_SEQ_AND_TIME mirror_with_start_seq_and_time() "stream mirrors can not have both start seq and start time configured";
    10033 400 MIRROR_WITH_SUBJECT_FILTERS mirror_with_subject_filters() "stream mirrors can not contain filtered subjects";
    10034 400 MIRROR_WITH_SUBJECTS mirror_with_subjects() "stream mirrors can not contain subjects";
    10035 503 NO_ACCOUNT no_account() "account not found";
    10036 503 CLUSTER_UN_SUPPORT_FEATURE cluster_un_support_feature() "not currently supported in clustered mode";
    10037 404 NO_MESSAGE_FOUND no_message_found() "no message found";
    10038 400 NOT_EMPTY_REQUEST not_empty_request() "expected an empty request payload";
    10039 503 NOT_ENABLED_FOR_ACCOUNT not_enabled_for_account() "JetStream not enabled for account";
    10040 400 CLUSTER_PEER_NOT_MEMBER cluster_peer_not_member() "peer not a member";
    10041 500 RAFT_GENERAL raft_general(err) "{err}";
    10042 500 RESTORE_SUBSCRIBE_FAILED restore_subscribe_failed(subject, err) "JetStream unable to subscribe to restore snapshot {subject}: {err}";
    10043 400 SEQUENCE_NOT_FOUND sequence_not_found(seq) "sequence {seq} not found";
    10044 400 CLUSTER_SERVER_NOT_MEMBER cluster_server_not_member() "server is not a member of the cluster";
    10045 500 SOURCE_CONSUMER_SETUP_FAILED source_consumer_setup_failed(err) "{err}";
    10046 400 SOURCE_MAX_MESSAGE_SIZE_TOO_BIG source_max_message_size_too_big() "stream source must have max message size >= target";
    10047 500 STORAGE_RESOURCES_EXCEEDED storage_resources_exceeded() "insufficient storage resources available";
    10048 500 STREAM_ASSIGNMENT stream_assignment(err) "{err}";
    10049 500 STREAM_CREATE stream_create(err) "{err}";
    10050 500 STREAM_DELETE stream_delete(err) "{err}";
    10051 500 STREAM_GENERAL stream_general(err) "{err}";
    10052 500 STREAM_INVALID_CONFIG stream_invalid_config(err) "{err}";
    10053 500 STREAM_LIMITS stream_limits(err) "{err}";
    10054 400 STREAM_MESSAGE_EXCEEDS_MAXIMUM stream_message_exceeds_maximum() "message size exceeds maximum allowed";
    10055 400 STREAM_MIRROR_NOT_UPDATABLE stream_mirror_not_updatable() "stream mirror configuration can not be updated";
    10056 400 STREAM_MISMATCH stream_mismatch() "stream name in subject does not match request";
    10057 500 STREAM_MSG_DELETE_FAILED stream_msg_delete_failed(err) "{err}";
    10058 400 STREAM_NAME_EXIST stream_name_exist() "stream name already in use with a different configuration";
    10059 404 STREAM_NOT_FOUND stream_not_found() "stream not found";
    10060 400 STREAM_NOT_MATCH stream_not_match() "expected stream does not match";
    10061 400 STREAM_REPLICAS_NOT_UPDATABLE stream_replicas_not_updatable() "Replicas configuration can not be updated";
    10062 500 STREAM_RESTORE stream_restore(err) "restore failed: {err}";
    10063 503 STREAM_SEQUENCE_NOT_MATCH stream_sequence_not_match() "expected stream sequence does not match";
    10064 500 STREAM_SNAPSHOT stream_snapshot(err) "snapshot failed: {err}";
    10065 400 STREAM_SUBJECT_OVERLAP stream_subject_overlap() "subjects overlap with an existing stream";
    10066 500 STREAM_TEMPLATE_CREATE stream_template_create(err) "{err}";
    10067 500 STREAM_TEMPLATE_DELETE stream_template_delete(err) "{err}";
    10068 404 STREAM_TEMPLATE_NOT_FOUND stream_template_not_found() "template not found";
    10069 500 STREAM_UPDATE stream_update(err) "{err}";
    10070 400 STREAM_WRONG_LAST_MSG_ID stream_wrong_last_msg_id(id) "wrong last msg ID: {id}";
    10071 400 STREAM_WRONG_LAST_SEQUENCE stream_wrong_last_sequence(seq) "wrong last sequence: {seq}";
    10072 500 TEMP_STORAGE_FAILED temp_storage_failed() "JetStream unable to open temp storage for restore";
    10073 400 TEMPLATE_NAME_NOT_MATCH_SUBJECT template_name_not_match_subject() "template name in subject does not match request";
    10074 500 STREAM_REPLICAS_NOT_SUPPORTED stream_replicas_not_supported() "replicas > 1 not supported in non-clustered mode";
    10075 503 PEER_REMAP peer_remap() "peer remap failed";
    10076 503 NOT_ENABLED not_enabled() "JetStream not enabled";
    10077 503 STREAM_STORE_FAILED stream_store_failed(err) "{err}";
    10078 400 CONSUMER_CONFIG_REQUIRED consumer_config_required() "consumer config required";
    10079 400 CONSUMER_DELIVER_TO_WILDCARDS consumer_deliver_to_wildcards() "consumer deliver subject has wildcards";
    10080 400 CONSUMER_PUSH_MAX_WAITING consumer_push_max_waiting() "consumer in push mode can not set max waiting";
    10081 400 CONSUMER_DELIVER_CYCLE consumer_deliver_cycle() "consumer deliver subject forms a cycle";
    10082 400 CONSUMER_MAX_PENDING_ACK_POLICY_REQUIRED consumer_max_pending_ack_policy_required() "consumer requires ack policy for max ack pending";
    10083 400 CONSUMER_SMALL_HEARTBEAT consumer_small_heartbeat() "consumer idle heartbeat needs to be >= 100ms";
    10084 400 CONSUMER_PULL_REQUIRES_ACK consumer_pull_requires_ack() "consumer in pull mode requires explicit ack policy on workqueue stream";
    10085 400 CONSUMER_PULL_NOT_DURABLE consumer_pull_not_durable() "consumer in pull mode requires a durable name";
    10086 400 CONSUMER_PULL_WITH_RATE_LIMIT consumer_pull_with_rate_limit() "consumer in pull mode can not have rate limit set";
    10087 400 CONSUMER_MAX_WAITING_NEGATIVE consumer_max_waiting_negative() "consumer max waiting needs to be positive";
    10088 400 CONSUMER_HB_REQUIRES_PUSH consumer_hb_requires_push() "consumer idle heartbeat requires a push based consumer";
    10089 400 CONSUMER_FC_REQUIRES_PUSH consumer_fc_requires_push() "consumer flow control requires a push based consumer";
    10090 400 CONSUMER_DIRECT_REQUIRES_PUSH consumer_direct_requires_push() "consumer direct requires a push based consumer";
    10091 400 CONSUMER_DIRECT_REQUIRES_EPHEMERAL consumer_direct_requires_ephemeral() "consumer direct requires an ephemeral consumer";
    10092 400 CONSUMER_ON_MAPPED consumer_on_mapped() "consumer direct on a mapped consumer";
    10093 400 CONSUMER_FILTER_NOT_SUBSET consumer_filter_not_subset() "consumer filter subject is not a valid subset of the interest subjects";
    10094 400 CONSUMER_INVALID_POLICY consumer_invalid_policy(err) "{err}";
    10095 400 CONSUMER_INVALID_SAMPLING consumer_invalid_sampling(err) "failed to parse consumer sampling configuration: {err}";
    10096 500 STREAM_INVALID stream_invalid() "stream not valid";
    10097 400 STREAM_HEADER_EXCEEDS_MAXIMUM stream_header_exceeds_maximum() "header size exceeds maximum allowed of 64k";
    10098 400 CONSUMER_WQ_REQUIRES_EXPLICIT_ACK consumer_wq_requires_explicit_ack() "workqueue stream requires explicit ack";
    10099 400 CONSUMER_WQ_MULTIPLE_UNFILTERED consumer_wq_multiple_unfiltered() "multiple non-filtered consumers not allowed on workqueue stream";
    10100 400 CONSUMER_WQ_CONSUMER_NOT_UNIQUE consumer_wq_consumer_not_unique() "filtered consumer not unique on workqueue stream";
    10101 400 CONSUMER_WQ_CONSUMER_NOT_DELIVER_ALL consumer_wq_consumer_not_deliver_all() "consumer must be deliver all on workqueue stream";
    10102 400 CONSUMER_NAME_TOO_LONG consumer_name_too_long(max) "consumer name is too long, maximum allowed is {max}";
    10103 400 CONSUMER_BAD_DURABLE_NAME consumer_bad_durable_name() "durable name can not contain '.', '*', '>'";
    10104 500 CONSUMER_STORE_FAILED consumer_store_failed(err) "error creating store for consumer: {err}";
    10105 400 CONSUMER_EXISTING_ACTIVE consumer_existing_active() "consumer already exists and is still active";
    10106 400 CONSUMER_REPLACEMENT_WITH_DIFFERENT_NAME consumer_replacement_with_different_name() "consumer replacement durable config not the same";
    10107 400 CONSUMER_DESCRIPTION_TOO_LONG consumer_description_too_long(max) "consumer description is too long, maximum allowed is {max}";
    10108 400 CONSUMER_WITH_FLOW_CONTROL_NEEDS_HEARTBEATS consumer_with_flow_control_needs_heartbeats() "consumer with flow control also needs heartbeats";
    10109 400 STREAM_SEALED stream_sealed() "invalid operation on sealed stream";
    10110 500 STREAM_PURGE_FAILED stream_purge_failed(err) "{err}";
    10111 500 STREAM_ROLLUP_FAILED stream_rollup_failed(err) "{err}";
    10112 400 CONSUMER_INVALID_DELIVER_SUBJECT consumer_invalid_deliver_subject() "invalid push consumer deliver subject";
    10113 400 STREAM_MAX_BYTES_REQUIRED stream_max_bytes_required() "account requires a stream config to have max bytes set";
    10114 400 CONSUMER_MAX_REQUEST_BATCH_NEGATIVE consumer_max_request_batch_negative() "consumer max request batch needs to be > 0";
    10115 400 CONSUMER_MAX_REQUEST_EXPIRES_TOO_SMALL consumer_max_request_expires_too_small() "consumer max request expires needs to be >= 1ms";
    10116 400 CONSUMER_MAX_DELIVER_BACKOFF consumer_max_deliver_backoff() "max deliver is required to be > length of backoff values";
    10117 500 STREAM_INFO_MAX_SUBJECTS stream_info_max_subjects() "subject details would exceed maximum allowed";
    10118 500 STREAM_OFFLINE stream_offline() "stream is offline";
    10119 500 CONSUMER_OFFLINE consumer_offline() "consumer is offline";
    10120 400 NO_LIMITS no_limits() "no JetStream default or applicable tiered limit present";
    10121 400 CONSUMER_MAX_PENDING_ACK_EXCESS consumer_max_pending_ack_excess(limit) "consumer max ack pending exceeds system limit of {limit}";
    10122 400 STREAM_MAX_STREAM_BYTES_EXCEEDED stream_max_stream_bytes_exceeded() "stream max bytes exceeds account limit max stream bytes";
    10123 400 STREAM_MOVE_AND_SCALE stream_move_and_scale() "can not move and scale a stream in a single update";
    10124 400 STREAM_MOVE_IN_PROGRESS stream_move_in_progress() "stream move already in progress";
    10125 400 CONSUMER_MAX_REQUEST_BATCH_EXCEEDED consumer_max_request_batch_exceeded(limit) "consumer max request batch exceeds server limit of {limit}";
    10126 400 CONSUMER_REPLICAS_EXCEEDS_STREAM consumer_replicas_exceeds_stream() "consumer config replica count exceeds parent stream";
    10127 400 CONSUMER_NAME_CONTAINS_PATH_SEPARATORS consumer_name_contains_path_separators() "Consumer name can not contain path separators";
    10128 400 STREAM_NAME_CONTAINS_PATH_SEPARATORS stream_name_contains_path_separators() "Stream name can not contain path separators";
    10129 400 STREAM_RECONFIGURE_NOT_IN_PROGRESS stream_reconfigure_not_in_progress() "stream reconfiguration not in progress";
    10130 400 STREAM_NAME_EXIST_RESTORE_FAILED stream_name_exist_restore_failed() "stream name already in use, cannot restore";
    10131 400 CONSUMER_CREATE_FILTER_SUBJECT_MISMATCH consumer_create_filter_subject_mismatch() "Consumer create request did not match filtered subject from create subject";
    10132 400 CONSUMER_CREATE_DURABLE_AND_NAME_MISMATCH consumer_create_durable_and_name_mismatch() "Consumer Durable and Name have to be equal if both are provided";
    10133 400 REPLICAS_COUNT_CANNOT_BE_NEGATIVE replicas_count_cannot_be_negative() "replicas count cannot be negative";
    10134 400 CONSUMER_REPLICAS_SHOULD_MATCH_STREAM consumer_replicas_should_match_stream() "consumer config replicas must match interest retention stream's replicas";
    10135 400 CONSUMER_METADATA_LENGTH consumer_metadata_length(limit) "consumer metadata exceeds maximum size of {limit}";
    10136 400 CONSUMER_DUPLICATE_FILTER_SUBJECTS consumer_duplicate_filter_subjects() "consumer cannot have both FilterSubject and FilterSubjects specified";
    10137 400 CONSUMER_MULTIPLE_FILTERS_NOT_ALLOWED consumer_multiple_filters_not_allowed() "consumer with multiple subject filters cannot use subject based API";
    10138 400 CONSUMER_OVERLAPPING_SUBJECT_FILTERS consumer_overlapping_subject_filters() "consumer subject filters cannot overlap";
    10139 400 CONSUMER_EMPTY_FILTER consumer_empty_filter() "consumer filter in FilterSubjects cannot be empty";
    10140 400 SOURCE_DUPLICATE_DETECTED source_duplicate_detected() "duplicate source configuration detected";
    10141 400 SOURCE_INVALID_STREAM_NAME source_invalid_stream_name() "sourced stream name is invalid";
    10142 400 MIRROR_INVALID_STREAM_NAME mirror_invalid_stream_name() "mirrored stream name is invalid";
    10143 400 MIRROR_WITH_FIRST_SEQ mirror_with_first_seq() "stream mirrors can not have first sequence configured";
    10144 400 SOURCE_MULTIPLE_FILTERS_NOT_ALLOWED source_multiple_filters_not_allowed() "source with multiple subject transforms cannot also have a single subject filter";
    10145 400 SOURCE_INVALID_SUBJECT_FILTER source_invalid_subject_filter(err) "source transform source: {err}";
    10146 400 SOURCE_INVALID_TRANSFORM_DESTINATION source_invalid_transform_destination(err) "source transform: {err}";
    10147 400 SOURCE_OVERLAPPING_SUBJECT_FILTERS source_overlapping_subject_filters() "source filters can not overlap";
    10148 400 CONSUMER_ALREADY_EXISTS consumer_already_exists() "consumer already exists";
    10149 400 CONSUMER_DOES_NOT_EXIST consumer_does_not_exist() "consumer does not exist";
    10150 400 MIRROR_MULTIPLE_FILTERS_NOT_ALLOWED mirror_multiple_filters_not_allowed() "mirror with multiple subject transforms cannot also have a single subject filter";
    10151 400 MIRROR_INVALID_SUBJECT_FILTER mirror_invalid_subject_filter(err) "mirror transform source: {err}";
    10152 400 MIRROR_OVERLAPPING_SUBJECT_FILTERS mirror_overlapping_subject_filters() "mirror subject filters can not overlap";
    10153 400 CONSUMER_INACTIVE_THRESHOLD_EXCESS consumer_inactive_threshold_excess(limit) "consumer inactive threshold exceeds system limit of {limit}";
    10154 400 MIRROR_INVALID_TRANSFORM_DESTINATION mirror_invalid_transform_destination(err) "mirror transform: {err}";
    10155 400 STREAM_TRANSFORM_INVALID_SOURCE stream_transform_invalid_source(err) "stream transform source: {err}";
    10156 400 STREAM_TRANSFORM_INVALID_DESTINATION stream_transform_invalid_destination(err) "stream transform: {err}";
    10157 400 PEDANTIC pedantic(err) "pedantic mode: {err}";
    10158 409 STREAM_DUPLICATE_MESSAGE_CONFLICT stream_duplicate_message_conflict() "duplicate message id is in process";
    10159 400 CONSUMER_PRIORITY_POLICY_WITHOUT_GROUP consumer_priority_policy_without_group() "Setting PriorityPolicy requires at least one PriorityGroup to be set";
    10160 400 CONSUMER_INVALID_PRIORITY_GROUP consumer_invalid_priority_group() "Provided priority group does not exist for this consumer";
    10161 400 CONSUMER_EMPTY_GROUP_NAME consumer_empty_group_name() "Group name cannot be an empty string";
    10162 400 CONSUMER_INVALID_GROUP_NAME consumer_invalid_group_name() "Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not exceed 16 characters";
    10163 503 STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_NOT_READY stream_expected_last_seq_per_subject_not_ready() "expected last sequence per subject temporarily unavailable";
    10164 400 STREAM_WRONG_LAST_SEQUENCE_CONSTANT stream_wrong_last_sequence_constant() "wrong last sequence";
    10165 400 MESSAGE_TTL_INVALID message_ttl_invalid() "invalid per-message TTL";
    10166 400 MESSAGE_TTL_DISABLED message_ttl_disabled() "per-message TTL is disabled";
    10167 429 STREAM_TOO_MANY_REQUESTS stream_too_many_requests() "too many requests";
    10168 400 MESSAGE_INCR_DISABLED message_incr_disabled() "message counters is disabled";
    10169 400 MESSAGE_INCR_MISSING message_incr_missing() "message counter increment is missing";
    10170 400 MESSAGE_INCR_PAYLOAD message_incr_payload() "message counter has payload";
    10171 400 MESSAGE_INCR_INVALID message_incr_invalid() "message counter increment is invalid";
    10172 400 MESSAGE_COUNTER_BROKEN message_counter_broken() "message counter is broken";
    10173 400 MIRROR_WITH_COUNTERS mirror_with_counters() "stream mirrors can not also calculate counters";
    10174 400 ATOMIC_PUBLISH_DISABLED atomic_publish_disabled() "atomic publish is disabled";
    10175 400 ATOMIC_PUBLISH_MISSING_SEQ atomic_publish_missing_seq() "atomic publish sequence is missing";
    10176 400 ATOMIC_PUBLISH_INCOMPLETE_BATCH atomic_publish_incomplete_batch() "atomic publish batch is incomplete";
    10177 400 ATOMIC_PUBLISH_UNSUPPORTED_HEADER_BATCH atomic_publish_unsupported_header_batch(header) "atomic publish unsupported header used: {header}";
    10178 400 CONSUMER_PUSH_WITH_PRIORITY_GROUP consumer_push_with_priority_group() "priority groups can not be used with push consumers";
    10179 400 ATOMIC_PUBLISH_INVALID_BATCH_ID atomic_publish_invalid_batch_id() "atomic publish batch ID is invalid";
    10180 412 STREAM_MIN_LAST_SEQ stream_min_last_seq() "min last sequence";
    10181 400 CONSUMER_ACK_POLICY_INVALID consumer_ack_policy_invalid() "consumer ack policy invalid";
    10182 400 CONSUMER_REPLAY_POLICY_INVALID consumer_replay_policy_invalid() "consumer replay policy invalid";
    10183 400 CONSUMER_ACK_WAIT_NEGATIVE consumer_ack_wait_negative() "consumer ack wait needs to be positive";
    10184 400 CONSUMER_BACK_OFF_NEGATIVE consumer_back_off_negative() "consumer backoff needs to be positive";
    10185 412 REQUIRED_API_LEVEL required_api_level() "JetStream minimum api level required";
    10186 400 MIRROR_WITH_MSG_SCHEDULES mirror_with_msg_schedules() "stream mirrors can not also schedule messages";
    10187 400 SOURCE_WITH_MSG_SCHEDULES source_with_msg_schedules() "stream source can not also schedule messages";
    10188 400 MESSAGE_SCHEDULES_DISABLED message_schedules_disabled() "message schedules is disabled";
    10189 400 MESSAGE_SCHEDULES_PATTERN_INVALID message_schedules_pattern_invalid() "message schedules pattern is invalid";
    10190 400 MESSAGE_SCHEDULES_TARGET_INVALID message_schedules_target_invalid() "message schedules target is invalid";
    10191 400 MESSAGE_SCHEDULES_TTL_INVALID message_schedules_ttl_invalid() "message schedules invalid per-message TTL";
    10192 400 MESSAGE_SCHEDULES_ROLLUP_INVALID message_schedules_rollup_invalid() "message schedules invalid rollup";
    10193 400 STREAM_EXPECTED_LAST_SEQ_PER_SUBJECT_INVALID stream_expected_last_seq_per_subject_invalid() "missing sequence for expected last sequence per subject";
    10194 500 STREAM_OFFLINE_REASON stream_offline_reason(err) "stream is offline: {err}";
    10195 500 CONSUMER_OFFLINE_REASON consumer_offline_reason(err) "consumer is offline: {err}";
    10196 400 CONSUMER_PRIORITY_GROUP_WITH_POLICY_NONE consumer_priority_group_with_policy_none() "consumer can not have priority groups when policy is none";
    10197 400 CONSUMER_PINNED_TTL_WITHOUT_PRIORITY_POLICY_NONE consumer_pinned_ttl_without_priority_policy_none() "PinnedTTL cannot be set when PriorityPolicy is none";
    10198 400 MIRROR_WITH_ATOMIC_PUBLISH mirror_with_atomic_publish() "stream mirrors can not also use atomic publishing";
    10199 400 ATOMIC_PUBLISH_TOO_LARGE_BATCH atomic_publish_too_large_batch(size) "atomic publish batch is too large: {size}";
    10200 400 ATOMIC_PUBLISH_INVALID_BATCH_COMMIT atomic_publish_invalid_batch_commit() "atomic publish batch commit is invalid";
    10201 400 ATOMIC_PUBLISH_CONTAINS_DUPLICATE_MESSAGE atomic_publish_contains_duplicate_message() "atomic publish batch contains duplicate message id";
    10202 400 CLUSTER_SERVER_MEMBER_CHANGE_INFLIGHT cluster_server_member_change_inflight() "cluster member change is in progress";
    10203 400 MESSAGE_SCHEDULES_SOURCE_INVALID message_schedules_source_invalid() "message schedules source is invalid";
    10204 400 CONSUMER_INVALID_RESET consumer_invalid_reset(err) "invalid reset: {err}";
    10205 400 BATCH_PUBLISH_DISABLED batch_publish_disabled() "batch publish is disabled";
    10206 400 BATCH_PUBLISH_INVALID_PATTERN batch_publish_invalid_pattern() "batch publish pattern is invalid";
    10207 400 BATCH_PUBLISH_INVALID_BATCH_ID batch_publish_invalid_batch_id() "batch publish ID is invalid";
    10208 400 BATCH_PUBLISH_UNKNOWN_BATCH_ID batch_publish_unknown_batch_id() "batch publish ID unknown";
    10209 400 MIRROR_WITH_BATCH_PUBLISH mirror_with_batch_publish() "stream mirrors can not also use batch publishing";
    10210 429 ATOMIC_PUBLISH_TOO_MANY_INFLIGHT atomic_publish_too_many_inflight() "atomic publish too many inflight";
    10211 429 BATCH_PUBLISH_TOO_MANY_INFLIGHT batch_publish_too_many_inflight() "batch publish too many inflight";
    10212 400 MESSAGE_SCHEDULES_SCHEDULER_INVALID message_schedules_scheduler_invalid() "message schedules invalid scheduler";
    10213 400 MIRROR_DURABLE_CONSUMER_CFG_INVALID mirror_durable_consumer_cfg_invalid() "stream mirror consumer config is invalid";
    10214 400 MIRROR_CONSUMER_REQUIRES_ACK_FC mirror_consumer_requires_ack_fc() "stream mirror consumer requires flow control ack policy";
    10215 400 SOURCE_DURABLE_CONSUMER_CFG_INVALID source_durable_consumer_cfg_invalid() "stream source consumer config is invalid";
    10216 400 SOURCE_DURABLE_CONSUMER_DUPLICATE_DETECTED source_durable_consumer_duplicate_detected() "duplicate stream source consumer detected";
    10217 400 SOURCE_CONSUMER_REQUIRES_ACK_FC source_consumer_requires_ack_fc() "stream source consumer requires flow control ack policy";
    10218 400 CONSUMER_ACK_FC_REQUIRES_PUSH consumer_ack_fc_requires_push() "flow control ack policy requires a push based consumer";
    10219 400 CONSUMER_ACK_FC_REQUIRES_FC consumer_ack_fc_requires_fc() "flow control ack policy requires flow control";
    10220 400 CONSUMER_ACK_FC_REQUIRES_MAX_ACK_PENDING consumer_ack_fc_requires_max_ack_pending() "flow control ack policy requires max ack pending";
    10221 400 CONSUMER_ACK_FC_REQUIRES_NO_ACK_WAIT consumer_ack_fc_requires_no_ack_wait() "flow control ack policy requires unset ack wait";
    10222 400 CONSUMER_ACK_FC_REQUIRES_NO_MAX_DELIVER consumer_ack_fc_requires_no_max_deliver() "flow control ack policy requires unset max deliver";
    10223 400 MESSAGE_SCHEDULES_TIME_ZONE_INVALID message_schedules_time_zone_invalid() "message schedules time zone is invalid";
    10224 400 CLUSTER_RESCUE cluster_rescue(err) "JetStream system rescue not applied: {err}";
    10225 400 CONSUMER_STREAM_IDENTITY_MISMATCH consumer_stream_identity_mismatch(msg) "consumer's stream identity does not match: {msg}";
    10226 400 STREAM_RECONFIGURE_IN_PROGRESS stream_reconfigure_in_progress() "stream reconfiguration already in progress";
    10227 400 MESSAGE_SOURCE_HDR_NOT_ALLOWED message_source_hdr_not_allowed() "message stream source header is not allowed";
}
