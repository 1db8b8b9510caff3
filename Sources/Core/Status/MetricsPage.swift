// The metrics in Prometheus' text format (version 0.0.4), with its names and units: seconds, bytes,
// counters that end in _total.

extension StatusReport {
  public var metrics: [UInt8] {
    var page = MetricsWriter()
    appendProcess(to: &page)
    guard !forwards.isEmpty else { return page.bytes }
    appendConnections(to: &page)
    appendNames(to: &page)
    appendLimits(to: &page)
    return page.bytes
  }

  private func appendProcess(to page: inout MetricsWriter) {
    page.begin("sidecar_build_info", .gauge, "The release that runs; its value is always 1.")
    page.sample { $0.label("version", text: version) }
    page.end(1)
    page.single(
      "process_start_time_seconds", .gauge, "Start of the process, in seconds since 1970.",
      milliseconds: UInt64(clamping: startedWallTime.nanosecondsSince1970) / 1_000_000)
    page.single(
      "process_open_fds", .gauge, "Open file descriptors.", UInt64(clamping: descriptors))
    page.single(
      "process_max_fds", .gauge, "The limit on open file descriptors.",
      UInt64(clamping: maxDescriptors))
    page.single(
      "sidecar_log_lines_lost_total", .counter, "Log lines that found no room.", lostLogLines)
  }

  // MARK: Connections

  private func appendConnections(to page: inout MetricsWriter) {
    page.begin("sidecar_connections_open", .gauge, "Clients that are connected now.")
    each(&page) { UInt64(clamping: $0.counts.open) }
    counter(
      "sidecar_connections_accepted_total", "Clients that were accepted.", Count.accepted, &page)
    counter(
      "sidecar_connections_established_total", "Connections that reached the target.",
      Count.established, &page)
    counter(
      "sidecar_probes_absorbed_total",
      "Clients that left without a byte before the target was reached.", Count.absorbed, &page)
    page.begin(
      "sidecar_connections_failed_total", .counter, "Clients whose target was not reached.")
    for forward in forwards {
      for cause in Failure.causes {
        page.sample {
          $0.target(forward)
          $0.label("cause", cause.name)
        }
        page.end(forward.counts[Count.failure(cause)])
      }
    }
    appendEndings(to: &page)
    page.begin("sidecar_forwarded_bytes_total", .counter, "Bytes delivered.")
    for forward in forwards {
      page.sample {
        $0.target(forward)
        $0.label("direction", "to_target")
      }
      page.end(forward.counts[Count.toTargetBytes])
      page.sample {
        $0.target(forward)
        $0.label("direction", "to_client")
      }
      page.end(forward.counts[Count.toClientBytes])
    }
    histogram(
      "sidecar_connect_duration_seconds", "From accepting the client to the target's answer.",
      .connectTimes, Count.connectTimes, &page)
    histogram(
      "sidecar_connection_duration_seconds", "From accepting the client to the end.", .durations,
      Count.durations, &page)
  }

  private func appendEndings(to page: inout MetricsWriter) {
    page.begin(
      "sidecar_connections_ended_total", .counter, "Established connections that have ended.")
    for forward in forwards {
      for endedBy in EndedBy.allCases {
        for reason in EndReason.allCases {
          let count = forward.counts[Count.ending(endedBy, reason)]
          // Most pairs never happen; those that may are said from the start.
          guard count > 0 || (endedBy != .sidecar && reason.place <= 2) else { continue }
          page.sample {
            $0.target(forward)
            $0.label("ended_by", endedBy.name)
            $0.label("reason", reason.name)
          }
          page.end(count)
        }
      }
    }
  }

  // MARK: Names and limits

  private func appendNames(to page: inout MetricsWriter) {
    page.begin("sidecar_name_lookups_total", .counter, "Lookups that have ended, by result.")
    page.lookups("resolved", names.resolved)
    page.lookups("not_found", names.notFound)
    page.lookups("without_address", names.withoutAddress)
    page.lookups("failed", names.failed)
    page.single(
      "sidecar_name_questions_total", .counter, "Questions sent to name servers.",
      names.questions)
    page.single(
      "sidecar_address_changes_total", .counter, "Times at which a target's addresses changed.",
      names.changes)
    page.single(
      "sidecar_stale_answers_total", .counter,
      "Lookups after which the last good addresses were used.", names.stale)
  }

  private func appendLimits(to page: inout MetricsWriter) {
    page.single(
      "sidecar_connections_limit", .gauge, "MAX_CONNECTIONS in force.",
      UInt64(clamping: maxConnections))
    page.single(
      "sidecar_pipes_open", .gauge, "Pipes that bulk transfers use, or keep for a moment.",
      UInt64(clamping: pipes))
    page.single(
      "sidecar_pipes_limit", .gauge, "The most pipes there may be.", UInt64(clamping: maxPipes))
    page.single("sidecar_workers", .gauge, "Threads that forward.", UInt64(clamping: workers))
  }

  // MARK: One number for each forward

  @inline(never) private func each(_ page: inout MetricsWriter, _ value: (ForwardStatus) -> UInt64)
  {
    for forward in forwards {
      page.sample { $0.target(forward) }
      page.end(value(forward))
    }
  }

  @inline(never) private func counter(
    _ name: StaticString, _ help: StaticString, _ place: Int, _ page: inout MetricsWriter
  ) {
    page.begin(name, .counter, help)
    each(&page) { $0.counts[place] }
  }

  @inline(never) private func histogram(
    _ name: StaticString, _ help: StaticString, _ histogram: Histogram, _ place: Int,
    _ page: inout MetricsWriter
  ) {
    page.begin(name, .histogram, help)
    for forward in forwards {
      var sum: UInt64 = 0
      for bucket in 0...histogram.bounds.count {
        sum += forward.counts[place + bucket]
        page.sample("_bucket") {
          $0.target(forward)
          if bucket < histogram.bounds.count {
            $0.label("le", milliseconds: UInt64(histogram.bounds[bucket]))
          } else {
            $0.label("le", "+Inf")
          }
        }
        page.end(sum)
      }
      page.sample("_sum") { $0.target(forward) }
      page.end(microseconds: forward.counts[place + histogram.bounds.count + 1])
      page.sample("_count") { $0.target(forward) }
      page.end(sum)
    }
  }
}

/// One metric after the other: its help and type, then its samples.
struct MetricsWriter {
  enum Kind { case counter, gauge, histogram }

  var bytes: [UInt8] = []
  private var name: StaticString = ""
  private var hasLabels = false

  @inline(never) mutating func begin(_ name: StaticString, _ kind: Kind, _ help: StaticString) {
    self.name = name
    bytes.append("# HELP ")
    bytes.append(name)
    bytes.append(" ")
    bytes.append(help)
    bytes.append("\n# TYPE ")
    bytes.append(name)
    switch kind {
    case .counter: bytes.append(" counter\n")
    case .gauge: bytes.append(" gauge\n")
    case .histogram: bytes.append(" histogram\n")
    }
  }

  @inline(never) mutating func single(
    _ name: StaticString, _ kind: Kind, _ help: StaticString, _ value: UInt64
  ) {
    begin(name, kind, help)
    bytes.append(name)
    end(value)
  }

  @inline(never) mutating func single(
    _ name: StaticString, _ kind: Kind, _ help: StaticString, milliseconds: UInt64
  ) {
    begin(name, kind, help)
    bytes.append(name)
    bytes.append(" ")
    bytes.append(seconds: .milliseconds(Int64(clamping: milliseconds)))
    bytes.append("\n")
  }

  @inline(never) mutating func sample(
    _ suffix: StaticString = "", _ labels: (inout MetricsWriter) -> Void
  ) {
    bytes.append(name)
    bytes.append(suffix)
    hasLabels = false
    labels(&self)
    bytes.append("}")
  }

  @inline(never) mutating func lookups(_ result: StaticString, _ count: UInt64) {
    sample { $0.label("result", result) }
    end(count)
  }

  @inline(never) mutating func label(_ key: StaticString, _ value: StaticString) {
    label(key) { $0.append(value) }
  }

  /// Backslash, quote and line break escaped, as the format asks; other bytes as in the log.
  @inline(never) mutating func label(_ key: StaticString, text: [UInt8]) {
    label(key) { bytes in
      for byte in text {
        switch byte {
        case UInt8(ascii: "\""): bytes.append("\\\"")
        case UInt8(ascii: "\\"): bytes.append("\\\\")
        case 0x20...0x7e: bytes.append(byte)
        case _: bytes.append("?")
        }
      }
    }
  }

  @inline(never) mutating func label(_ key: StaticString, milliseconds: UInt64) {
    label(key) { bytes in
      bytes.append(decimal: milliseconds / 1_000)
      let rest = milliseconds % 1_000
      guard rest > 0 else { return }
      bytes.append(".")
      if rest < 100 { bytes.append("0") }
      if rest < 10 { bytes.append("0") }
      var digits = rest
      while digits % 10 == 0 { digits /= 10 }
      bytes.append(decimal: digits)
    }
  }

  /// Which forward: its target as it was configured, and the port it listens on.
  @inline(never) mutating func target(_ forward: ForwardStatus) {
    label("target") { $0.append(forward.target) }
    label("listen_port") { $0.append(decimal: UInt64(forward.listen.port)) }
  }

  @inline(never) private mutating func label(_ key: StaticString, _ value: (inout [UInt8]) -> Void)
  {
    bytes.append(hasLabels ? "," : "{")
    hasLabels = true
    bytes.append(key)
    bytes.append("=\"")
    value(&bytes)
    bytes.append("\"")
  }

  @inline(never) mutating func end(_ value: UInt64) {
    bytes.append(" ")
    bytes.append(decimal: value)
    bytes.append("\n")
  }

  @inline(never) mutating func end(microseconds: UInt64) {
    bytes.append(" ")
    bytes.append(decimal: microseconds / 1_000_000)
    bytes.append(".")
    let rest = microseconds % 1_000_000
    var least: UInt64 = 100_000
    while least > 1 && rest < least {
      bytes.append("0")
      least /= 10
    }
    bytes.append(decimal: rest)
    bytes.append("\n")
  }
}
