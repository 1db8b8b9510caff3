// The status as a person reads it: what the process is, its forwards, its limits, its connections.

extension StatusReport {
  /// Lines of printable ASCII, each ended by a line break.
  @inline(never) public var table: [UInt8] {
    var text: [UInt8] = []
    appendHead(to: &text)
    if !forwards.isEmpty {
      text.append("\n")
      appendForwards(to: &text)
      text.append("\n")
      appendLimits(to: &text)
      appendConnections(to: &text)
    }
    return text
  }

  private func appendHead(to text: inout [UInt8]) {
    text.append("sidecar ")
    text += version
    text.append("  ")
    text.append(state.name)
    text.append("  up ")
    text.append(span: now - startedAt)
    if workers > 0 {
      text.append("  workers ")
      text.append(decimal: UInt64(workers))
    }
    text.append("  sandbox ")
    text.append(sandbox.name)
    text.append("\n")
  }

  // MARK: Forwards

  private func appendForwards(to text: inout [UInt8]) {
    var table = TextTable(
      "LISTEN|TARGET|>OPEN|>TOTAL|>FAILED|>ABSORBED|>TO TARGET|>TO CLIENT")
    for forward in forwards {
      table.add { $0.append(forward.listen) }
      table.add { $0.append(forward.target) }
      table.add { $0.append(decimal: UInt64(forward.counts.open)) }
      table.add { $0.append(decimal: forward.counts[Count.accepted]) }
      table.add { $0.append(decimal: forward.counts.failed) }
      table.add { $0.append(decimal: forward.counts[Count.absorbed]) }
      table.add { $0.append(bytes: forward.counts[Count.toTargetBytes]) }
      table.add { $0.append(bytes: forward.counts[Count.toClientBytes]) }
    }
    table.append(to: &text)
    for forward in forwards { appendTarget(forward, to: &text) }
  }

  /// How the target is: its addresses, and when it was last reached and not.
  private func appendTarget(_ forward: ForwardStatus, to text: inout [UInt8]) {
    text.append(forward.target)
    text.append(": ")
    if let answer = forward.answer {
      append(answer, to: &text)
      text.append("; ")
    }
    if let success = forward.counts.lastSuccess {
      text.append("reached ")
      text.append(span: now - success)
      text.append(" ago")
    } else {
      text.append("not reached yet")
    }
    if let (failure, cause) = forward.counts.lastFailure {
      text.append("; failed ")
      text.append(span: now - failure)
      text.append(" ago: ")
      text.append(cause.name)
    }
    text.append("\n")
  }

  @inline(never) private func append(_ answer: NameAnswer, to text: inout [UInt8]) {
    guard answer.freshUntil.nanoseconds != .min else { return text.append("not looked up yet") }
    if let failure = answer.failure { return text.append(failure.name) }
    for (index, address) in answer.addresses.enumerated() {
      if index > 0 { text.append(" ") }
      text.append(address)
    }
    if answer.isStale {
      text.append(" (stale: no name server answers)")
    } else if now < answer.freshUntil {
      text.append(" (TTL ")
      text.append(span: answer.freshUntil - now)
      text.append(" left)")
    } else {
      text.append(" (TTL over; looked up when needed)")
    }
  }

  // MARK: Limits

  private func appendLimits(to text: inout [UInt8]) {
    append("connections ", openConnections, of: maxConnections, to: &text)
    append("  descriptors ", descriptors, of: maxDescriptors, to: &text)
    append("  pipes ", pipes, of: maxPipes, to: &text)
    text.append("  log lines lost ")
    text.append(decimal: lostLogLines)
    text.append("\n")
    if silentWorkers > 0 {
      text.append(decimal: UInt64(silentWorkers))
      text.append(" workers gave no answer within a second: their connections are not listed\n")
    }
  }

  @inline(never) private func append(
    _ name: StaticString, _ count: Int, of limit: Int, to text: inout [UInt8]
  ) {
    text.append(name)
    text.append(decimal: UInt64(count))
    text.append("/")
    text.append(decimal: UInt64(limit))
  }

  // MARK: Connections

  private func appendConnections(to text: inout [UInt8]) {
    guard !connections.isEmpty else { return }
    text.append("\n")
    var table = TextTable(
      "CLIENT|TARGET ADDRESS|>AGE|>IDLE|>TO TARGET|>TO CLIENT|STATE")
    for view in connections {
      table.add { $0.append(view.client) }
      table.add { if let address = view.address { $0.append(address) } else { $0.append("-") } }
      table.add { $0.append(span: now - view.acceptedAt) }
      table.add { $0.append(span: now - view.lastMoved) }
      table.add { $0.append(bytes: view.toTargetBytes) }
      table.add { $0.append(bytes: view.toClientBytes) }
      table.add { $0.append(view.state.name) }
    }
    table.append(to: &text)
    let more = openConnections - connections.count
    if more > 0 {
      text.append("and ")
      text.append(decimal: UInt64(more))
      text.append(" younger ones\n")
    }
  }
}
