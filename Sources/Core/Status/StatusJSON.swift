// The status for scripts: one JSON object (RFC 8259) on one line. Times are in seconds.

extension StatusReport {
  @inline(never) public var json: [UInt8] {
    var writer = JSONWriter()
    writer.object {
      $0.add("version", text: version)
      $0.add("state", state.name)
      $0.add("uptime_seconds", seconds: now - startedAt)
      $0.add("workers", workers)
      $0.add("silent_workers", silentWorkers)
      $0.add("connections_open", openConnections)
      $0.add("connections_limit", maxConnections)
      $0.add("descriptors_open", descriptors)
      $0.add("descriptors_limit", maxDescriptors)
      $0.add("pipes_open", pipes)
      $0.add("pipes_limit", maxPipes)
      $0.add("log_lines_lost", lostLogLines)
      $0.add("sandbox", sandbox.name)
      $0.add("landlock", sandbox.landlock)
      $0.array("forwards", forwards) { add($1, to: &$0) }
      $0.array("connections", connections) { add($1, to: &$0) }
    }
    writer.bytes.append("\n")
    return writer.bytes
  }

  private func add(_ forward: ForwardStatus, to writer: inout JSONWriter) {
    writer.object {
      $0.add("listen", forward.listen)
      $0.key("target")
      $0.quote { $0.append(forward.target) }
      $0.add("open", forward.counts.open)
      $0.add("accepted", forward.counts[Count.accepted])
      $0.add("established", forward.counts[Count.established])
      $0.add("failed", forward.counts.failed)
      $0.add("absorbed", forward.counts[Count.absorbed])
      $0.add("to_target_bytes", forward.counts[Count.toTargetBytes])
      $0.add("to_client_bytes", forward.counts[Count.toClientBytes])
      if let success = forward.counts.lastSuccess {
        $0.add("last_success_seconds_ago", seconds: now - success)
      }
      if let (failure, cause) = forward.counts.lastFailure {
        $0.add("last_failure_seconds_ago", seconds: now - failure)
        $0.add("last_failure_cause", cause.name)
      }
      if let answer = forward.answer, answer.freshUntil.nanoseconds != .min {
        $0.array("addresses", answer.addresses) { writer, address in
          writer.quote { $0.append(address) }
        }
        $0.add("ttl_seconds_left", seconds: max(.zero, answer.freshUntil - now))
        $0.add("stale", answer.isStale)
        if let failure = answer.failure { $0.add("name_failure", failure.name) }
      }
    }
  }

  private func add(_ view: ConnectionView, to writer: inout JSONWriter) {
    writer.object {
      $0.add("connection", view.id)
      $0.add("client", view.client)
      if let address = view.address { $0.add("address", address) }
      $0.add("forward", view.forward)
      $0.add("age_seconds", seconds: now - view.acceptedAt)
      $0.add("idle_seconds", seconds: now - view.lastMoved)
      $0.add("to_target_bytes", view.toTargetBytes)
      $0.add("to_client_bytes", view.toClientBytes)
      $0.add("state", view.state.name)
    }
  }
}

/// Objects and arrays with the commas where they belong. All text in it is printable ASCII without
/// quotes or backslashes, but for what `text` escapes.
struct JSONWriter {
  var bytes: [UInt8] = []
  private var needsComma = false

  mutating func object(_ body: (inout JSONWriter) -> Void) { wrap("{", "}", body) }

  mutating func array<Element>(
    _ key: StaticString, _ elements: [Element], _ body: (inout JSONWriter, Element) -> Void
  ) {
    self.key(key)
    wrap("[", "]") { writer in
      for element in elements { body(&writer, element) }
    }
  }

  @inline(never) private mutating func wrap(
    _ open: StaticString, _ close: StaticString, _ body: (inout JSONWriter) -> Void
  ) {
    separate()
    bytes.append(open)
    needsComma = false
    body(&self)
    bytes.append(close)
    needsComma = true
  }

  @inline(never) private mutating func separate() {
    if needsComma { bytes.append(",") }
    needsComma = true
  }

  @inline(never) mutating func key(_ key: StaticString) {
    separate()
    bytes.append("\"")
    bytes.append(key)
    bytes.append("\":")
    needsComma = false
  }

  @inline(never) mutating func quote(_ body: (inout [UInt8]) -> Void) {
    separate()
    bytes.append("\"")
    body(&bytes)
    bytes.append("\"")
  }

  @inline(never) mutating func add(_ key: StaticString, _ value: UInt64) {
    self.key(key)
    separate()
    bytes.append(decimal: value)
  }

  @inline(never) mutating func add(_ key: StaticString, _ value: Int) {
    add(key, UInt64(max(0, value)))
  }

  @inline(never) mutating func add(_ key: StaticString, _ value: Bool) {
    self.key(key)
    separate()
    bytes.append(value ? "true" : "false")
  }

  @inline(never) mutating func add(_ key: StaticString, _ value: StaticString) {
    self.key(key)
    quote { $0.append(value) }
  }

  @inline(never) mutating func add(_ key: StaticString, _ value: Endpoint) {
    self.key(key)
    quote { $0.append(value) }
  }

  @inline(never) mutating func add(_ key: StaticString, seconds span: Nanoseconds) {
    self.key(key)
    separate()
    bytes.append(seconds: span)
  }

  /// Whatever bytes these are: as in a log line, what is no printable ASCII is \u00NN.
  @inline(never) mutating func add(_ key: StaticString, text: [UInt8]) {
    self.key(key)
    quote { bytes in
      for byte in text {
        switch byte {
        case UInt8(ascii: "\""): bytes.append("\\\"")
        case UInt8(ascii: "\\"): bytes.append("\\\\")
        case 0x20...0x7e: bytes.append(byte)
        case _:
          bytes.append("\\u00")
          bytes.append(hex: UInt64(byte), width: 2)
        }
      }
    }
  }
}

extension [UInt8] {
  /// Seconds with three decimals.
  @inline(never) mutating func append(seconds span: Nanoseconds) {
    let milliseconds = UInt64(Swift.max(0, span.count)) / 1_000_000
    append(decimal: milliseconds / 1_000)
    append(".")
    let rest = milliseconds % 1_000
    if rest < 100 { append("0") }
    if rest < 10 { append("0") }
    append(decimal: rest)
  }
}
