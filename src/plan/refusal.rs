//! Why a job cannot be run on this host as it stands: the job's own fault, in words its author can act on.

/// The plan says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Neither job nor settings name an image.
    #[error(
        "the job names no image, and this runner has no default image\n  add `image:` to the job"
    )]
    NoImage,
    /// The image is not on the operator's list.
    #[error("the image {image} is not allowed on this runner\n  allowed: {allowed}")]
    ImageNotAllowed {
        /// The image.
        image: String,
        /// The operator's patterns.
        allowed: String,
    },
    /// Windows.
    #[error(
        "the job asks for an image for {platform}, and this runner runs Linux containers only\n  run the job on a runner with GitLab's docker-windows executor"
    )]
    Windows {
        /// What the job asks for.
        platform: String,
    },
    /// There is no telling which of GitLab's helper images fits.
    #[error(
        "CI_RUNNER_VERSION {version:?} is no version of GitLab Runner, so there is no telling which helper image fits\n  remove the variable from the pipeline, or have the operator set [docker] helper_image"
    )]
    HelperImage {
        /// What the variable holds.
        version: String,
    },
    /// The user is not on the operator's list.
    #[error(
        "the user {user} (image:docker:user) is not allowed on this runner\n  allowed: {allowed}"
    )]
    User {
        /// The job's choice.
        user: String,
        /// The operator's patterns.
        allowed: String,
    },
    /// The pull policy is not on the operator's list.
    #[error("the pull policy {policy} is not allowed on this runner\n  allowed: {allowed}")]
    PullPolicy {
        /// The job's policy.
        policy: String,
        /// What would be allowed.
        allowed: String,
    },
    /// The network is not on the operator's list.
    #[error(
        "the network mode {mode} (LONGSHORE_NETWORK_MODE) is not allowed on this runner\n  allowed: {allowed}"
    )]
    NetworkMode {
        /// The job's choice.
        mode: String,
        /// What would be allowed.
        allowed: String,
    },
    /// A secret that is unknown, or not this project's to have.
    #[error(
        "the secret {name} is not one this job may have (LONGSHORE_SECRETS){reason}\n  allowed here: {allowed}"
    )]
    Secret {
        /// Its name.
        name: String,
        /// Where it would be allowed, if that helps; begins with a colon.
        reason: String,
        /// The names that would be allowed.
        allowed: String,
    },
    /// A service's image is not on the operator's list.
    #[error("the service {image} is not allowed on this runner\n  allowed: {allowed}")]
    ServiceNotAllowed {
        /// The image.
        image: String,
        /// The operator's patterns.
        allowed: String,
    },
    /// The job's network knows no names.
    #[error(
        "this job is on the network {mode}, which knows no names, so its services could not be found\n  remove `services:`, or have the job on a network of its own (LONGSHORE_NETWORK_MODE: slot)"
    )]
    ServicesNetwork {
        /// The network.
        mode: String,
    },
    /// A service's name says nothing.
    #[error(
        "a service of this job names no image (its name is {name:?})\n  are the variables in it set?"
    )]
    ServiceImage {
        /// As it is written.
        name: String,
    },
    /// The project directory lies elsewhere.
    #[error(
        "CI_PROJECT_DIR {directory} is not below {builds_dir}\n  set GIT_CLONE_PATH to a directory below $CI_BUILDS_DIR"
    )]
    ProjectDirectory {
        /// What the job wants.
        directory: String,
        /// What the operator set.
        builds_dir: String,
    },
}
