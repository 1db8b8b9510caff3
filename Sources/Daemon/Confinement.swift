// After the start the daemon gives up what it does not need (SANDBOX): in two steps, because some
// rights belong to a thread and go to those it starts, and starting threads is itself given up.
import Core
import Linux

struct Confinement {
  private(set) var state = SandboxState.off

  /// Before any thread is started, after everything is open: privileges, capabilities, files.
  mutating func begin(_ settings: Settings) {
    guard settings.sandbox else { return }
    state = .on(landlock: 0)
    do throws(Errno) { try Sandbox.refuseNewPrivileges() } catch { miss(.privileges, error) }
    do throws(Errno) { try Sandbox.dropCapabilities() } catch { miss(.capabilities, error) }
    let ports = settings.forwards.map { $0.target.port } + [settings.dnsPort]
    do throws(Errno) {
      state.found(landlock: try Sandbox.restrictReach(toPorts: ports))
    } catch {}  // older kernels have none, and containers may refuse it: the filter remains
  }

  /// Once the threads run: all of them have the filter from here on.
  mutating func complete(_ settings: Settings, mayListen: Bool) {
    guard settings.sandbox else { return }
    let program = SystemCallFilter.program(for: .own, mayListen: mayListen)
    do throws(Errno) { try Sandbox.filterSystemCalls(program) } catch { miss(.systemCalls, error) }
  }

  private mutating func miss(_ part: SandboxState.Part, _ error: Errno) {
    if case .incomplete = state { return }
    state = .incomplete(part, code: error.code)
  }
}

extension SandboxState {
  fileprivate mutating func found(landlock: Int) {
    if case .on = self { self = .on(landlock: landlock) }
  }
}
