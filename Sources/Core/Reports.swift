// What the log says: a function for each event, with its level, words and fields in their order.
// Must not decide whether an event is logged (the level, folding, "once" are the caller's).

/// Which end began the end of a connection.
public enum EndedBy: Sendable {
  case client, target, sidecar

  public var name: StaticString {
    switch self {
    case .client: "client"
    case .target: "target"
    case .sidecar: "sidecar"
    }
  }
}

public enum EndReason: Sendable {
  /// Both directions ended in order.
  case closed
  case reset
  /// The peer stopped answering.
  case vanished
  case idleTimeout
  /// The target's name leads elsewhere now (ON_TARGET_CHANGE).
  case targetChanged
  case drainTimeout
  case secondSignal
  case error

  public var name: StaticString {
    switch self {
    case .closed: "closed"
    case .reset: "reset"
    case .vanished: "vanished"
    case .idleTimeout: "idle_timeout"
    case .targetChanged: "target_changed"
    case .drainTimeout: "drain_timeout"
    case .secondSignal: "second_signal"
    case .error: "error"
    }
  }
}

/// What is known of a connection when it has ended.
public struct ConnectionRecord: Sendable {
  public var id: UInt64
  public var client: Endpoint
  /// The address that was connected to; nil when there was none yet.
  public var upstream: Endpoint?
  public var toTargetBytes: UInt64
  public var toClientBytes: UInt64
  public var connectTime: Nanoseconds
  public var duration: Nanoseconds
  public var endedBy: EndedBy
  public var reason: EndReason

  public init(
    id: UInt64, client: Endpoint, upstream: Endpoint?, toTargetBytes: UInt64,
    toClientBytes: UInt64, connectTime: Nanoseconds, duration: Nanoseconds, endedBy: EndedBy,
    reason: EndReason
  ) {
    self.id = id
    self.client = client
    self.upstream = upstream
    self.toTargetBytes = toTargetBytes
    self.toClientBytes = toClientBytes
    self.connectTime = connectTime
    self.duration = duration
    self.endedBy = endedBy
    self.reason = reason
  }
}

// Connections.
extension LogLine {
  /// info
  public mutating func connectionEnded(
    _ record: ConnectionRecord, target: Target, at time: WallTime
  ) {
    begin(.info, at: time, "connection ended")
    add("connection", record.id)
    add("client", record.client)
    add("target", target)
    if let address = record.upstream { add("address", address) }
    add("to_target_bytes", record.toTargetBytes)
    add("to_client_bytes", record.toClientBytes)
    add("connect_ms", milliseconds: record.connectTime)
    add("duration_ms", milliseconds: record.duration)
    add("ended_by", record.endedBy.name)
    add("reason", record.reason.name)
    end()
  }

  /// debug
  public mutating func connectionOpened(
    id: UInt64, client: Endpoint, target: Target, address: Endpoint, at time: WallTime
  ) {
    begin(.debug, at: time, "connection opened")
    add("connection", id)
    add("client", client)
    add("target", target)
    add("address", address)
    end()
  }

  /// debug: a client left without a byte before the target was reached, which it cost nothing.
  public mutating func probeAbsorbed(id: UInt64, client: Endpoint, at time: WallTime) {
    begin(.debug, at: time, "probe absorbed")
    add("connection", id)
    add("client", client)
    end()
  }

  /// warn. `address` is nil when none was tried; `repeated` counts others like this one that were
  /// folded before it, and is left out when 0.
  public mutating func connectionFailed(
    id: UInt64, client: Endpoint, target: Target, address: Endpoint?, failure: Failure,
    repeated: UInt64, at time: WallTime
  ) {
    beginFailed(failure, at: time)
    add("connection", id)
    add("client", client)
    add("target", target)
    if let address { add("address", address) }
    add(cause: failure)
    if repeated > 0 { add("repeated", repeated) }
    end()
  }

  /// warn: a window of folded failures has ended. The line stands for `repeated` connections, so it
  /// names none of them.
  public mutating func connectionFailedRepeatedly(
    target: Target, failure: Failure, repeated: UInt64, at time: WallTime
  ) {
    beginFailed(failure, at: time)
    add("target", target)
    add(cause: failure)
    add("repeated", repeated)
    end()
  }

  private mutating func beginFailed(_ failure: Failure, at time: WallTime) {
    beginMessage(.warn, at: time)
    addToMessage("connection failed: ")
    addToMessage(failure.advice)
    endMessage()
  }

  private mutating func add(cause failure: Failure) {
    add("cause", failure.name)
    if case .system(let code) = failure { add("errno", UInt64(clamping: code)) }
  }
}

// The daemon's life.
extension LogLine {
  /// info, once for each forward.
  public mutating func listening(listen: Endpoint, target: Target, at time: WallTime) {
    begin(.info, at: time, "listening")
    add("listen", listen)
    add("target", target)
    end()
  }

  /// info. Workers and connections are said in proxy mode alone.
  public mutating func started(
    version: [UInt8], mode: Settings.Mode, workers: Int, maxConnections: Int, at time: WallTime
  ) {
    beginMessage(.info, at: time)
    addToMessage("sidecar ")
    version.withUnsafeBufferPointer { addToMessage($0) }
    addToMessage(" started")
    endMessage()
    switch mode {
    case .proxy:
      add("mode", "proxy")
      add("workers", UInt64(clamping: workers))
      add("max_connections", UInt64(clamping: maxConnections))
    case .sleep:
      add("mode", "sleep")
    }
    end()
  }

  /// info. `signal` is its name, such as SIGTERM.
  public mutating func draining(signal: StaticString, open: Int, at time: WallTime) {
    begin(.info, at: time, "draining")
    add("signal", signal)
    add("open", UInt64(clamping: open))
    end()
  }

  /// info
  public mutating func drained(at time: WallTime) {
    begin(.info, at: time, "drained")
    end()
  }

  /// warn
  public mutating func drainTimedOut(cut: Int, at time: WallTime) {
    begin(.warn, at: time, "drain timeout: connections cut")
    add("cut", UInt64(clamping: cut))
    end()
  }

  /// info
  public mutating func stopped(at time: WallTime) {
    begin(.info, at: time, "stopped")
    end()
  }
}

// What operators ask for.
extension LogLine {
  /// info: one line of the status table.
  public mutating func statusLine(_ text: [UInt8], at time: WallTime) {
    beginMessage(.info, at: time)
    text.withUnsafeBufferPointer { addToMessage($0) }
    endMessage()
    end()
  }

  /// warn. `name` is the control socket's, `code` the error number: 98 when it is taken.
  public mutating func controlUnavailable(name: [UInt8], code: Int32, at time: WallTime) {
    begin(
      .warn, at: time, "control socket unavailable: sidecar health and status do not work yet")
    add("name", bytes: name)
    add("errno", UInt64(clamping: code))
    end()
  }
}

// Limits.
extension LogLine {
  /// info, at most once an hour.
  public mutating func churnNoticed(_ churn: ChurnWatch.Finding, at time: WallTime) {
    begin(
      .info, at: time,
      "many short connections: a connection pool in the application would spare the target most")
    add("per_minute", UInt64(clamping: churn.perMinute))
    add("median_below_ms", UInt64(clamping: churn.medianBelow))
    end()
  }

  /// warn
  public mutating func linesLost(_ lost: UInt64, at time: WallTime) {
    begin(.warn, at: time, "log lines lost")
    add("lost", lost)
    end()
  }

  /// warn, at most once in a while.
  public mutating func acceptPaused(_ failure: Failure, at time: WallTime) {
    switch failure {
    case .noDescriptors:
      begin(
        .warn, at: time,
        """
        accepting paused: no free descriptors; \
        raise the container's nofile limit or lower MAX_CONNECTIONS
        """)
    case .noMemory:
      begin(
        .warn, at: time,
        """
        accepting paused: no memory for another socket; \
        raise the container's memory limit or lower MAX_CONNECTIONS
        """)
    case .refused, .timedOut, .networkUnreachable, .hostUnreachable, .reset, .nameNotFound,
      .nameWithoutAddress, .nameServersFailed, .loop, .noLocalPort, .notPermitted, .system:
      begin(
        .warn, at: time,
        """
        accepting paused: the system refuses new connections: \
        usually a security policy of this machine
        """)
    }
    add(cause: failure)
    end()
  }

  /// warn, at most once in a while.
  public mutating func maxConnectionsReached(limit: Int, at time: WallTime) {
    begin(.warn, at: time, "connection limit reached: new clients wait in the backlog")
    add("limit", UInt64(clamping: limit))
    end()
  }

  /// warn, at the start: MAX_CONNECTIONS asks for more than the descriptor limit allows.
  public mutating func maxConnectionsLowered(asked: Int, allowed: Int, at time: WallTime) {
    begin(.warn, at: time, "MAX_CONNECTIONS lowered: the descriptor limit allows no more")
    add("asked", UInt64(clamping: asked))
    add("allowed", UInt64(clamping: allowed))
    end()
  }
}
