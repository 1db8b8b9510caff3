// The program from its arguments to its exit code: a checklist.
import Core
import Linux

/// sysexits(3).
enum ExitCode {
  static let ok: Int32 = 0
  /// health and status: no.
  static let unhealthy: Int32 = 1
  static let usage: Int32 = 64
  static let unavailable: Int32 = 69
  static let systemError: Int32 = 71
  static let configuration: Int32 = 78
}

/// Runs the program with the process's arguments and returns its exit code.
public func run(
  _ count: Int32, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
) -> Int32 {
  switch Command(count, arguments) {
  case .help:
    write([UInt8](helpText), to: 1)
    return ExitCode.ok
  case .version:
    write([UInt8]("sidecar ") + releaseVersion() + [UInt8]("\n"), to: 1)
    return ExitCode.ok
  case .wrong(let argument):
    var message = [UInt8]("sidecar: unexpected argument ")
    message.append(quoted: argument[...])
    message.append(": it is configured by environment variables; see sidecar --help\n")
    write(message, to: 2)
    return ExitCode.usage
  case .health(let target): return health(target: target)
  case .status(let json, let watch): return status(json: json, watch: watch)
  case .probe(let targets, let greet): return probe(targets, greet: greet)
  case .serve: return serve()
  }
}

private func serve() -> Int32 {
  let settings: Settings
  do throws(SettingsFaults) {
    settings = try Settings.parse(environment)
  } catch {
    write(report(error), to: 2)
    return ExitCode.configuration
  }
  do throws(Errno) {
    let limits = Limits(
      settings: settings, descriptors: try raiseDescriptorLimit(), cpus: usableCPUCount(),
      pipeQuotaPages: pipeQuotaPages())
    let log = LogRing()
    let shared = try Shared(settings: settings, limits: limits, supervisorLog: log)
    let supervisor = try Supervisor(shared: shared, log: log)
    if settings.mode == .proxy {
      guard let listeners = openListeners(settings) else { return ExitCode.unavailable }
      shared.listeners = listeners
    }
    var metrics: Listener?
    guard openMetricsListener(settings, &metrics) else { return ExitCode.unavailable }
    try supervisor.openOperations(metrics: metrics)
    try supervisor.run()
    // Not by returning: workers still run, and the C library's own way out would wait for locks.
    exitProcess(code: ExitCode.ok)
  } catch {
    var message = [UInt8]("sidecar: cannot start: the system gave errno ")
    message.append(decimal: UInt64(error.code))
    message.append(
      error == .descriptorLimit || error == .systemDescriptorLimit
        ? ", too many open files: raise the descriptor limit (nofile)\n" : "\n")
    write(message, to: 2)
    return ExitCode.systemError
  }
}

func report(_ faults: SettingsFaults) -> [UInt8] {
  var text = [UInt8]("sidecar: cannot start: the configuration has ")
  text.append(decimal: UInt64(faults.faults.count))
  text.append(faults.faults.count == 1 ? " fault\n" : " faults\n")
  for fault in faults.faults {
    text.append("  ")
    text += fault.line
    text.append("\n")
  }
  return text
}
