//! The event of the benches that need one.

use ringpost::event::Event;

const DATA: &str = r#"{"device":"th-0427","site":{"building":"B2","floor":3},"readings":[{"quantity":"temperature","value":-18.37,"unit":"Cel"},{"quantity":"humidity","value":61.5,"unit":"%RH"}],"battery":0.87}"#;

/// A sensor's reading with a new id and the present time: some 420 bytes of JSON.
pub(crate) fn reading() -> Event {
    Event::builder("sensor.reading")
        .source("/plants/north/gateways/17")
        .subject("th-0427")
        .correlation_id("round-0915")
        .raw_json(DATA)
        .build()
        .expect("it is valid")
}
