//! One recording: request → [`plan::Plan`] → state → `EgressInfo`; names, redaction, costs.
