// What came of giving rights up after the start, as the log and the status say it.

public enum SandboxState: Equatable, Sendable {
  case off
  /// `landlock` is the version that the kernel has; 0 when it has none.
  case on(landlock: Int)
  /// The system refused a part of it, with this error number.
  case incomplete(Part, code: Int32)

  public enum Part: Sendable {
    case privileges, capabilities, systemCalls

    var name: StaticString {
      switch self {
      case .privileges: "new_privileges"
      case .capabilities: "capabilities"
      case .systemCalls: "system_calls"
      }
    }
  }

  var name: StaticString {
    switch self {
    case .off: "off"
    case .on: "on"
    case .incomplete: "incomplete"
    }
  }

  var landlock: Int { if case .on(let landlock) = self { landlock } else { 0 } }
}

extension LogLine {
  /// info; warn when the system refused a part.
  public mutating func sandbox(_ state: SandboxState, at time: WallTime) {
    switch state {
    case .off: begin(.info, at: time, "sandbox off")
    case .on(let landlock):
      begin(.info, at: time, "sandbox on")
      add("system_calls", UInt64(clamping: SystemCallFilter.count))
      add("landlock", UInt64(clamping: landlock))
    case .incomplete(let part, let code):
      begin(.warn, at: time, "sandbox incomplete: the system refused a part of it")
      add("part", part.name)
      add("errno", UInt64(clamping: code))
    }
    end()
  }
}
